use super::*;

fn fields(text: &str) -> Fields {
    Fields::parse(text.as_bytes()).unwrap()
}

#[test]
fn each_wrong_type_is_named() {
    let mut all = fields(
        r#"{"a": 1, "b": "x", "c": 3.5, "d": "1,x", "e": [1], "f": {"g": 1}, "h": "soon", "i": null, "j/k": 0}"#,
    );
    assert_eq!(all.text("a"), None);
    assert_eq!(all.flag("b"), None);
    assert_eq!(all.whole("c"), None);
    assert_eq!(all.numbers("d"), None);
    assert_eq!(all.texts("e"), None);
    assert_eq!(all.names_and_texts("f"), None);
    assert_eq!(all.duration("h"), None);
    assert_eq!(all.text("i"), None);
    let pointers: Vec<_> = all.wrong.iter().map(|f| f.pointer.clone()).collect();
    assert_eq!(pointers, ["/a", "/b", "/c", "/d", "/e", "/f", "/h"]);
    assert!(all.done().is_err(), "and j/k is unknown");
}

#[test]
fn numbers_of_any_size_are_read() {
    let mut all =
        fields(r#"{"a": 10, "b": 10.0, "c": 1e30, "d": -1e30, "e": 18446744073709551615}"#);
    assert_eq!(all.whole("a"), Some(10));
    assert_eq!(all.whole("b"), Some(10));
    assert_eq!(all.whole("c"), Some(i64::MAX));
    assert_eq!(all.whole("d"), Some(i64::MIN));
    assert_eq!(all.whole("e"), Some(i64::MAX));
    let mut all = fields(r#"{"a": " 80, 443 ,", "b": "-1,0"}"#);
    assert_eq!(all.numbers("a"), Some(vec![80, 443]));
    assert_eq!(all.numbers("b"), Some(vec![-1, 0]));
    assert!(all.done().is_ok());
}

#[test]
fn only_objects_are_bodies() {
    for bad in [
        "{",
        "[]",
        "1",
        "null",
        "\"x\"",
        "{\"a\":1}x",
        "\u{feff}{}",
        "{'a':1}",
        "\0",
    ] {
        assert!(Fields::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    let nested = "[".repeat(10_000);
    assert!(Fields::parse(format!("{{\"a\":{nested}").as_bytes()).is_err());
    assert!(Fields::parse(b"").unwrap().done().is_ok());
}
