//! Tokens of a good key that say what they should not.

use serde_json::json;

use super::pattern::{Forgeries, Pattern};
use crate::oidc::{CLIENT, Signer, base64, now};
use crate::support::ANA;

/// What only a provider's own key could say.
pub(super) fn of_a_provider(pattern: &Pattern, signer: &Signer) -> Forgeries {
    let (url, client) = (pattern.claims["iss"].as_str().unwrap(), CLIENT);
    let mut all = Forgeries::new();
    for claims in [
        json!({ "iss": "https://evil.example" }),
        json!({ "iss": format!("{url}/") }),
        json!({ "iss": url.to_uppercase() }),
        json!({ "iss": url.replace("http:", "https:") }),
        json!({ "iss": "" }),
        json!({ "iss": [url] }),
        json!({ "iss": null }),
        json!({ "aud": "another-client" }),
        json!({ "aud": "" }),
        json!({ "aud": &client[..8] }),
        json!({ "aud": client.to_uppercase() }),
        json!({ "aud": [] }),
        json!({ "aud": ["another-client"] }),
        json!({ "aud": [client, "another-client"] }),
        json!({ "aud": [client, "another-client"], "azp": "another-client" }),
        json!({ "azp": "another-client" }),
        json!({ "azp": [client] }),
        json!({ "aud": { "0": client } }),
        json!({ "aud": 1 }),
        json!({ "aud": null }),
        json!({ "exp": now() - 3600 }),
        json!({ "exp": 0 }),
        json!({ "exp": -1 }),
        json!({ "exp": (now() + 3600).to_string() }),
        json!({ "exp": 1e18 }),
        json!({ "exp": [now() + 3600] }),
        json!({ "exp": true }),
        json!({ "exp": null }),
        json!({ "iat": now() + 3600 }),
        json!({ "iat": "now" }),
        json!({ "iat": null }),
        json!({ "nbf": now() + 3600 }),
        json!({ "nbf": "now" }),
        json!({ "sub": "" }),
        json!({ "sub": 1 }),
        json!({ "sub": ["1"] }),
        json!({ "sub": "1\n" }),
        json!({ "sub": "1".repeat(256) }),
        json!({ "sub": null }),
        json!({ "email": [ANA] }),
        json!({ "email_verified": false }),
        json!({ "email_verified": null }),
    ] {
        all.push((claims.to_string(), pattern.with_claims(claims)));
    }
    let exp = pattern.claims["exp"].to_string();
    for number in [
        "1e309",
        "-1e309",
        "18446744073709551616",
        "9223372036854775808",
        "-9223372036854775809",
        "0x7fffffff",
        "NaN",
    ] {
        let claims = pattern.claims.to_string().replace(&exp, number);
        all.push((format!("exp {number}"), pattern.of_claims(&claims)));
    }
    all.push((
        "no key named where there are two".into(),
        pattern.with_header(json!({ "kid": null })),
    ));

    // Signatures that are none.
    let message = pattern.good.rsplit_once('.').unwrap().0;
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> = (0..32)
        .map(|n| u8::from_str_radix(&order[2 * n..][..2], 16).unwrap())
        .collect();
    let real = signer.signature(message.as_bytes());
    let (r, rest) = real.split_at(32);
    let der = [&[0x30, 0x44, 0x02, 0x20][..], r, &[0x02, 0x20], &rest[..32]].concat();
    for (name, signature) in [
        ("zeros", vec![0; real.len()]),
        ("r = 0", [&[0; 32], rest].concat()),
        ("s = 0", [r, &[0; 32]].concat()),
        ("r = s = n", [order.clone(), order.clone()].concat()),
        ("s = n", [r, &order].concat()),
        ("DER", der),
        ("one byte less", real[..real.len() - 1].to_vec()),
        ("one byte more", [&real[..], &[0]].concat()),
        ("of something else", signer.signature(b"something else")),
    ] {
        all.push((
            format!("signature {name}"),
            format!("{message}.{}", base64(signature)),
        ));
    }
    all
}

/// What only our own secret could say.
pub(super) fn of_ours(pattern: &Pattern) -> Forgeries {
    let mut all = Forgeries::new();
    for claims in [
        json!({ "iss": "neuropod/" }),
        json!({ "iss": ["neuropod"] }),
        json!({ "iss": null }),
        json!({ "aud": "Neuropod" }),
        json!({ "aud": ["neuropod"] }),
        json!({ "aud": null }),
        json!({ "exp": now() - 1 }),
        json!({ "exp": 0 }),
        json!({ "exp": -1 }),
        json!({ "exp": "9999999999" }),
        json!({ "exp": 1e18 }),
        json!({ "exp": null }),
        json!({ "iat": "now" }),
        json!({ "jti": "" }),
        json!({ "jti": "0".repeat(32) }),
        json!({ "jti": ["x"] }),
        json!({ "jti": "../../identity/x" }),
        json!({ "jti": null }),
        json!({ "id": "000000000000000000000000" }),
        json!({ "id": "x" }),
        json!({ "id": 1 }),
        json!({ "id": null }),
        json!({ "role": "root" }),
        json!({ "role": null }),
        json!({ "email": null }),
    ] {
        all.push((claims.to_string(), pattern.with_claims(claims)));
    }
    let exp = pattern.claims["exp"].to_string();
    for number in ["1e309", "18446744073709551616", "-9223372036854775809"] {
        let claims = pattern.claims.to_string().replace(&exp, number);
        all.push((format!("exp {number}"), pattern.of_claims(&claims)));
    }
    all
}
