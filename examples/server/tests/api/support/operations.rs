//! What the OpenAPI document says of the operations.

use serde_json::Value;

/// The document of a server in development mode.
pub(crate) fn document() -> Value {
    serde_json::from_str(&neuropod_server::document()).unwrap()
}

/// An operation, and what the document says of it.
pub(crate) struct Operation {
    pub(crate) id: String,
    /// In capitals.
    pub(crate) method: String,
    /// With parameters in braces.
    pub(crate) path: String,
    pub(crate) says: Value,
    document: Value,
}

impl Operation {
    pub(crate) fn all() -> Vec<Self> {
        let document = document();
        let mut all = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, says) in item.as_object().unwrap() {
                all.push(Self {
                    id: says["operationId"].as_str().unwrap().to_owned(),
                    method: method.to_uppercase(),
                    path: path.clone(),
                    says: says.clone(),
                    document: document.clone(),
                });
            }
        }
        all
    }

    /// The names of its parameters in `path`, `query` or `header`.
    pub(crate) fn parameters(&self, place: &str) -> Vec<&str> {
        let parameters = self.says["parameters"].as_array();
        let of_place = parameters
            .into_iter()
            .flatten()
            .filter(|p| p["in"] == place);
        of_place.map(|p| p["name"].as_str().unwrap()).collect()
    }

    /// Its responses by status.
    pub(crate) fn responses(&self) -> Vec<(u16, &Value)> {
        let responses = self.says["responses"].as_object().unwrap();
        let resolved = responses.iter().map(|(status, response)| {
            let status = status.parse().expect("a status");
            (status, self.resolve(response))
        });
        resolved.collect()
    }

    /// The schema of its body.
    pub(crate) fn body(&self) -> Option<&Value> {
        let content = &self.says["requestBody"]["content"]["application/json"];
        content.get("schema").map(|schema| self.resolve(schema))
    }

    /// Whether there is a body, which may be without any field.
    pub(crate) fn needs_body(&self) -> bool {
        self.body().is_some()
    }

    /// Whether it needs a token.
    pub(crate) fn needs_token(&self) -> bool {
        self.says.get("security").is_none()
    }

    /// What `value` refers to, or itself.
    pub(crate) fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(to) => self.document.pointer(&to[1..]).expect("it is there"),
            None => value,
        }
    }
}
