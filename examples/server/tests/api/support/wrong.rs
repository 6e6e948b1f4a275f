//! Values that a schema does not allow.

use serde_json::{Value, json};

use super::Operation;

/// A body with one thing wrong.
pub(crate) struct Wrong {
    pub(crate) body: Value,
    /// Where it is wrong.
    pub(crate) pointer: String,
    /// What was done, for a message.
    pub(crate) what: String,
}

/// All that can be wrong with one field of a good `body`, by the operation's schema.
pub(crate) fn bodies(operation: &Operation, body: &Value) -> Vec<Wrong> {
    let mut all = Vec::new();
    let schema = operation.body().expect("it has a body");
    object(operation, schema, body, "", &mut all);
    all
}

fn object(operation: &Operation, schema: &Value, body: &Value, at: &str, all: &mut Vec<Wrong>) {
    let mut unknown = body.clone();
    let pointer = format!("{at}/unknownField");
    at_mut(&mut unknown, at)["unknownField"] = json!("x");
    all.push(Wrong {
        body: unknown,
        what: format!("unknown field {pointer}"),
        pointer,
    });
    let none = serde_json::Map::new();
    let required: Vec<&str> = strings(&schema["required"]).collect();
    for (name, schema) in schema["properties"].as_object().unwrap_or(&none) {
        let pointer = format!("{at}/{name}");
        let (kinds, schema) = kinds(operation, schema);
        if required.contains(&&**name) {
            let mut without = body.clone();
            at_mut(&mut without, at)
                .as_object_mut()
                .unwrap()
                .remove(name);
            all.push(Wrong {
                body: without,
                what: format!("no {pointer}"),
                pointer: pointer.clone(),
            });
        }
        for value in values(&pointer, &kinds, schema) {
            let mut wrong = body.clone();
            at_mut(&mut wrong, at)[name] = value.clone();
            all.push(Wrong {
                body: wrong,
                what: format!("{pointer}: {:.60}", value.to_string()),
                pointer: pointer.clone(),
            });
        }
        if schema["properties"].is_object() {
            object(operation, schema, body, &pointer, all);
        } else if let Some(inner) = schema.get("additionalProperties").filter(|s| s.is_object()) {
            let inner = operation.resolve(inner);
            let keys = at_ref(body, &pointer)
                .as_object()
                .expect("a good body has all")
                .keys();
            for key in keys.filter(|_| inner["properties"].is_object()) {
                object(operation, inner, body, &format!("{pointer}/{key}"), all);
            }
        }
    }
}

/// The JSON types that a schema allows, and the schema of the value that is not null.
fn kinds<'a>(operation: &'a Operation, schema: &'a Value) -> (Vec<&'a str>, &'a Value) {
    let schema = operation.resolve(schema);
    if let Some(of) = schema["oneOf"].as_array() {
        let mut all = Vec::new();
        let mut main = schema;
        for one in of {
            let (kinds, inner) = kinds(operation, one);
            if kinds != ["null"] {
                main = inner;
            }
            all.extend(kinds);
        }
        return (all, main);
    }
    match &schema["type"] {
        Value::String(kind) => (vec![kind], schema),
        kinds => (strings(kinds).collect(), schema),
    }
}

/// Wrong values for a field of these kinds.
fn values(pointer: &str, kinds: &[&str], schema: &Value) -> Vec<Value> {
    let kind = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is = |kind: &str| kinds.contains(&kind);
    let numeric = is("number") || is("integer");
    let samples = [
        json!(null),
        json!(true),
        json!(7),
        json!("\u{0}*"),
        json!(["x"]),
        json!({ "$ne": null }),
    ];
    let allowed = |value: &Value| is(kind(value)) || (value.is_number() && numeric);
    let mut all: Vec<Value> = samples
        .into_iter()
        .filter(|value| !allowed(value))
        .collect();
    if is("integer") {
        let limits = (schema["minimum"].as_i64(), schema["maximum"].as_i64());
        let (Some(least), Some(most)) = limits else {
            panic!("{pointer} has no least or no largest value: write it into its schema");
        };
        all.extend([least - 1, most + 1, i64::MIN, i64::MAX].map(Value::from));
        all.extend([json!(u64::MAX), json!(1e300), json!(1.5)]);
    } else if is("number") {
        all.extend([
            json!(-1),
            json!(1_000_001),
            json!(1e300),
            json!(0.000_000_1),
        ]);
    }
    if is("string") {
        let listed = schema["enum"].is_array();
        let shaped = schema["pattern"].is_string() || kinds.contains(&"number");
        if listed || shaped {
            all.extend(["\u{0}*", "<x>"].map(Value::from));
        }
        if schema["minLength"].as_u64().is_some_and(|least| least > 0) {
            all.push(json!(""));
        }
        if let Some(most) = schema["maxLength"].as_u64() {
            all.extend([most + 1, 50_000].map(|n| json!("x".repeat(usize::try_from(n).unwrap()))));
        }
    }
    if let Some(most) = schema["maxItems"].as_u64() {
        all.push((0..=most).map(|_| json!("x")).collect());
    }
    if let Some(most) = schema["maxProperties"].as_u64() {
        let pairs = (0..=most).map(|n| (format!("A{n}"), json!("x")));
        all.push(Value::Object(pairs.collect()));
    }
    // One wrong element.
    for (inner, wrap) in [("items", true), ("additionalProperties", false)] {
        if schema[inner]["type"] == "string" {
            all.push(if wrap { json!([7]) } else { json!({ "A": 7 }) });
        }
    }
    all
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

fn at_ref<'a>(body: &'a Value, pointer: &str) -> &'a Value {
    body.pointer(pointer)
        .unwrap_or_else(|| panic!("the good body in support/scene.rs has no {pointer}"))
}

fn at_mut<'a>(body: &'a mut Value, pointer: &str) -> &'a mut Value {
    body.pointer_mut(pointer)
        .unwrap_or_else(|| panic!("the good body in support/scene.rs has no {pointer}"))
}
