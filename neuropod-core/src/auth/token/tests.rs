use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

use super::*;

const NEW: &str = "f2ca1bb6c7e907d06dafe4687e579fce76b37e4e93b7605022da52e6ccc26fd2";
const OLD: &str = "7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730";
const NOW: Time = Time::from_micros(1_800_000_000_000_000);

fn keys() -> SigningKeys {
    let keys = SigningKeys::new(&Secret::new(NEW)).unwrap();
    keys.accepting(&Secret::new(OLD)).unwrap()
}

fn claims() -> Claims {
    Claims {
        id: UserId::from_bytes([7; 12]),
        email: "ana@example.com".to_owned(),
        role: Role::Client,
        iat: 1_800_000_000,
        exp: 1_800_000_060,
        jti: "00112233445566778899aabbccddeeff".to_owned(),
        iss: "neuropod".to_owned(),
        aud: "neuropod".to_owned(),
    }
}

fn encode(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn signed_by(algorithm: hmac::Algorithm, secret: &str, header: &str, payload: &str) -> String {
    let message = format!("{}.{}", encode(header), encode(payload));
    let tag = hmac::sign(
        &hmac::Key::new(algorithm, secret.as_bytes()),
        message.as_bytes(),
    );
    format!("{message}.{}", encode(tag))
}

/// A token with this header, rightly signed by the newest key.
fn with_header(header: &str) -> String {
    signed_by(
        hmac::HMAC_SHA256,
        NEW,
        header,
        &serde_json::to_string(&claims()).unwrap(),
    )
}

fn our_header() -> String {
    serde_json::to_string(&header(&keys().signing.id)).unwrap()
}

/// A token with these claims, rightly signed by the newest key.
fn with_claims(text: &str) -> String {
    signed_by(hmac::HMAC_SHA256, NEW, &our_header(), text)
}

/// A token with one claim changed, or left out.
fn with_claim(name: &str, value: Option<Value>) -> String {
    let mut all = serde_json::to_value(claims()).unwrap();
    let map = all.as_object_mut().unwrap();
    match value {
        Some(value) => map.insert(name.to_owned(), value),
        None => map.remove(name),
    };
    with_claims(&all.to_string())
}

#[test]
fn the_newest_key_signs_and_both_verify() {
    let token = keys().sign(&claims()).unwrap();
    assert_eq!(keys().verify(token.reveal(), NOW), Some(claims()));
    assert_eq!(
        token.reveal(),
        with_claims(&serde_json::to_string(&claims()).unwrap())
    );

    let before = SigningKeys::new(&Secret::new(OLD)).unwrap();
    let token = before.sign(&claims()).unwrap();
    assert_eq!(keys().verify(token.reveal(), NOW), Some(claims()));
    let after = SigningKeys::new(&Secret::new(NEW)).unwrap();
    assert_eq!(
        after.verify(token.reveal(), NOW),
        None,
        "rotated out a second time"
    );
}

#[test]
fn hostile_tokens_are_refused() {
    let good = keys().sign(&claims()).unwrap().reveal().to_owned();
    let parts: Vec<&str> = good.split('.').collect();
    let [head, body, tag] = parts[..] else {
        panic!("{good}")
    };
    let kid = keys().signing.id.clone();
    let old = keys().previous.unwrap().id;
    let text = serde_json::to_string(&claims()).unwrap();
    let admin = encode(text.replace("client", "admin"));
    let none = |alg: &str| {
        let header = format!(r#"{{"typ":"JWT","alg":"{alg}","kid":"{kid}"}}"#);
        format!("{}.{body}.", encode(header))
    };
    let last = tag.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let spare = alphabet
        .chars()
        .nth(alphabet.find(last).unwrap() | 1)
        .unwrap();
    let nested = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    let hs = |alg: &str| our_header().replace("HS256", alg);
    let extra = |more: &str| our_header().replacen('{', &format!("{{{more},"), 1);

    let hostile: Vec<(&str, String)> = vec![
        ("nothing", String::new()),
        ("a dot", ".".into()),
        ("two dots", "..".into()),
        ("noise", "aaaa.bbbb.cccc".into()),
        ("no signature", format!("{head}.{body}.")),
        ("no signature, no dot", format!("{head}.{body}")),
        ("header only", head.into()),
        ("a fourth part", format!("{good}.{tag}")),
        ("Bearer twice", format!("Bearer {good}")),
        ("a blank first", format!(" {good}")),
        ("a line break last", format!("{good}\n")),
        ("a NUL last", format!("{good}\0")),
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg NONE", none("NONE")),
        ("alg nOnE, signed", with_header(&hs("nOnE"))),
        (
            "alg missing",
            with_header(&format!(r#"{{"typ":"JWT","kid":"{kid}"}}"#)),
        ),
        (
            "alg null",
            with_header(&our_header().replace("\"HS256\"", "null")),
        ),
        (
            "alg list",
            with_header(&our_header().replace("\"HS256\"", "[\"HS256\"]")),
        ),
        (
            "HS384",
            signed_by(hmac::HMAC_SHA384, NEW, &hs("HS384"), &text),
        ),
        (
            "HS512",
            signed_by(hmac::HMAC_SHA512, NEW, &hs("HS512"), &text),
        ),
        ("RS256 over the secret", with_header(&hs("RS256"))),
        ("ES256 over the secret", with_header(&hs("ES256"))),
        ("EdDSA over the secret", with_header(&hs("EdDSA"))),
        ("no kid", with_header(r#"{"typ":"JWT","alg":"HS256"}"#)),
        (
            "unknown kid",
            with_header(&our_header().replace(&kid, "00000000")),
        ),
        (
            "the other key's kid",
            with_header(&our_header().replace(&kid, &old)),
        ),
        (
            "kid as a path",
            with_header(&our_header().replace(&kid, "../../dev/null")),
        ),
        (
            "kid as a list",
            with_header(&our_header().replace(&format!("\"{kid}\""), &format!("[\"{kid}\"]"))),
        ),
        ("two kids", with_header(&extra(r#""kid":"x""#))),
        ("crit", with_header(&extra(r#""crit":["b64"],"b64":false"#))),
        (
            "its own key",
            with_header(&extra(r#""jwk":{"kty":"oct","k":"AAAA"}"#)),
        ),
        (
            "a key to fetch",
            with_header(&extra(r#""jku":"http://127.0.0.1:1/""#)),
        ),
        ("nested", with_header(&extra(r#""cty":"JWT""#))),
        (
            "another typ",
            with_header(&our_header().replace("JWT", "at+jwt")),
        ),
        (
            "a spaced header",
            with_header(&our_header().replace(':', ": ")),
        ),
        (
            "a header after a BOM",
            with_header(&format!("\u{feff}{}", our_header())),
        ),
        ("another role", format!("{head}.{admin}.{tag}")),
        ("a cut signature", format!("{head}.{body}.{}", &tag[..42])),
        ("a padded signature", format!("{good}=")),
        (
            "spare bits in the signature",
            format!("{}{spare}", &good[..good.len() - 1]),
        ),
        ("a padded payload", format!("{head}.{body}==.{tag}")),
        (
            "another's secret",
            signed_by(hmac::HMAC_SHA256, "x", &our_header(), &text),
        ),
        (
            "the old secret, the new kid",
            signed_by(hmac::HMAC_SHA256, OLD, &our_header(), &text),
        ),
        ("expired", with_claim("exp", Some(json!(1_799_999_999)))),
        (
            "expires this second",
            with_claim("exp", Some(json!(1_800_000_000))),
        ),
        ("exp negative", with_claim("exp", Some(json!(-1)))),
        ("exp text", with_claim("exp", Some(json!("1800000060")))),
        ("exp fraction", with_claim("exp", Some(json!(1.9e9 + 0.5)))),
        ("exp overflow", with_claim("exp", Some(json!(u64::MAX)))),
        (
            "exp infinite",
            with_claims(&text.replace("1800000060", "1e309")),
        ),
        ("no exp", with_claim("exp", None)),
        ("exp null", with_claim("exp", Some(Value::Null))),
        ("no jti", with_claim("jti", None)),
        ("jti number", with_claim("jti", Some(json!(1)))),
        ("no iss", with_claim("iss", None)),
        ("no aud", with_claim("aud", None)),
        ("aud list", with_claim("aud", Some(json!(["neuropod"])))),
        ("no id", with_claim("id", None)),
        ("id too short", with_claim("id", Some(json!("0707")))),
        ("id object", with_claim("id", Some(json!({"$ne": null})))),
        ("another role word", with_claim("role", Some(json!("root")))),
        (
            "two ids",
            with_claims(&text.replacen('{', r#"{"id":"000000000000000000000000","#, 1)),
        ),
        ("claims as a list", with_claims("[]")),
        ("claims no JSON", with_claims("exp=1800000060")),
        (
            "claims after a BOM",
            with_claims(&format!("\u{feff}{text}")),
        ),
        ("claims deeply nested", with_claims(&nested)),
        (
            "a megabyte",
            with_claim("email", Some(json!("a".repeat(1 << 20)))),
        ),
    ];
    for (what, token) in &hostile {
        assert_eq!(keys().verify(token, NOW), None, "{what}: {token:.200}");
    }
    println!("{} hostile tokens refused", hostile.len());
    assert!(hostile.len() >= 60);
}

#[test]
fn weak_secrets_are_refused_and_none_is_shown() {
    for (secret, says) in [
        ("", "shorter"),
        ("0123456789abcdef0123456789abcde", "shorter"),
        ("your-super-secret-key-change-in-production", "placeholder"),
        ("CHANGE-ME-CHANGE-ME-CHANGE-ME-0123456789", "placeholder"),
        ("abababababababababababababababababab", "repeats"),
    ] {
        let e = SigningKeys::new(&Secret::new(secret)).unwrap_err();
        assert!(e.message().contains(says), "{e}");
        assert!(secret.is_empty() || !e.message().contains(secret), "{e}");
    }
    let shown = format!("{:?}", keys());
    assert!(
        !shown.contains(&NEW[..8]) && !shown.contains(&OLD[..8]),
        "{shown}"
    );
}
