//! JSON bodies, read so that every wrong part is named: a field at a time, by whoever knows what it must be.

use std::str::FromStr;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use neuropod::money::Money;
use neuropod::{Error, FieldError};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::problem::{Problem, Result};

/// The largest body there is a use for.
const LIMIT: usize = 100 * 1000;
/// What is still read of a larger one, so that its sender reads the answer instead of a broken connection.
const DRAINED: usize = 32 << 20;
const TIME_TO_SEND: Duration = Duration::from_secs(10);

/// The fields of a JSON object that nobody has asked for yet, and what was wrong with those that were.
#[derive(Debug)]
pub(crate) struct Fields {
    left: Map<String, Value>,
    wrong: Vec<FieldError>,
    /// All of it, in one order of fields whatever the sender's was.
    whole: String,
    /// Where in the body they are.
    within: String,
}

/// A body without fields, for the document.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

impl<S: Sync> FromRequest<S> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let read = tokio::time::timeout(TIME_TO_SEND, read(&parts.headers, body));
        let bytes = read.await.map_err(|_| {
            Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "validation",
                "The body took too long to arrive.",
            )
        })??;
        if !bytes.is_empty() && !is_json(&parts.headers) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "validation",
                "The body must be JSON, sent with \"content-type: application/json\".",
            ));
        }
        Self::parse(&bytes)
    }
}

async fn read(headers: &HeaderMap, mut body: Body) -> Result<Vec<u8>> {
    let asks_first = headers.contains_key(header::EXPECT);
    if asks_first && body.size_hint().lower() > LIMIT as u64 {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::validation("The body ended before its end."))?;
        let data = frame.into_data().unwrap_or_default();
        seen += data.len();
        if seen > DRAINED {
            break;
        } else if seen <= LIMIT {
            bytes.extend_from_slice(&data);
        }
    }
    if seen > LIMIT {
        Err(too_large())
    } else {
        Ok(bytes)
    }
}

fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "payload_too_large",
        format!("A body has at most {} kB.", LIMIT / 1000),
    )
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let essence = value
        .and_then(|v| v.split(';').next())
        .map(|v| v.trim().to_ascii_lowercase());
    essence.is_some_and(|v| v == "application/json" || v.ends_with("+json"))
}

impl Fields {
    /// Nothing at all is an object without fields.
    fn parse(bytes: &[u8]) -> Result<Self> {
        let left = if bytes.is_empty() {
            Map::new()
        } else {
            match serde_json::from_slice(bytes) {
                Ok(Value::Object(map)) => map,
                Ok(_) => return Err(Problem::validation("The body must be a JSON object.")),
                Err(e) => return Err(Problem::validation(format!("The body is not JSON: {e}."))),
            }
        };
        Ok(Self {
            whole: Value::Object(left.clone()).to_string(),
            left,
            wrong: Vec::new(),
            within: String::new(),
        })
    }

    /// What another request must say to be the same.
    pub(crate) fn whole_body(&self) -> &str {
        &self.whole
    }

    /// An amount: a decimal as text, which is exact, or a number.
    pub(crate) fn money(&mut self, field: &str) -> Option<Money> {
        let must_be = "an amount with at most six decimals, such as \"2.50\"";
        self.take(field, must_be, |value| match value {
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => Money::from_f64(number.as_f64()?).ok(),
            _ => None,
        })
    }

    /// An id; `none` stands for one that was refused.
    pub(crate) fn id<T: FromStr>(&mut self, field: &str, none: T, must_be: &str) -> T {
        let id = self.text(field).and_then(|text| text.parse().ok());
        id.unwrap_or_else(|| {
            if !self.is_wrong(field) {
                self.wrong(field, format!("\"{field}\" must be {must_be}."));
            }
            none
        })
    }

    fn is_wrong(&self, field: &str) -> bool {
        let pointer = self.pointer(field);
        self.wrong.iter().any(|wrong| wrong.pointer == pointer)
    }

    fn pointer(&self, field: &str) -> String {
        let field = field.replace('~', "~0").replace('/', "~1");
        format!("{}/{field}", self.within)
    }

    /// Notes what is wrong with a field.
    pub(crate) fn wrong(&mut self, field: &str, message: impl Into<String>) {
        self.wrong.push(FieldError {
            pointer: self.pointer(field),
            message: message.into(),
        });
    }

    /// Takes a field out; `null` is as good as absent.
    fn take<T>(
        &mut self,
        field: &str,
        must_be: &str,
        read: impl Fn(Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.left.remove(field).filter(|value| !value.is_null())?;
        let read = read(value);
        if read.is_none() {
            self.wrong(field, format!("\"{field}\" must be {must_be}."));
        }
        read
    }

    /// Reads the fields of an object within, if it is there.
    pub(crate) fn object(&mut self, field: &str, read: impl FnOnce(&mut Self)) {
        let map = self.take(field, "an object", |value| match value {
            Value::Object(map) => Some(map),
            _ => None,
        });
        if let Some(map) = map {
            self.inside(self.pointer(field), map, read);
        }
    }

    /// Reads the fields of the objects in a list, if it is there.
    pub(crate) fn objects<T>(
        &mut self,
        field: &str,
        read: impl Fn(&mut Self) -> T,
    ) -> Option<Vec<T>> {
        let maps = self.take(field, "a list of objects", |value| {
            serde_json::from_value::<Vec<Map<String, Value>>>(value).ok()
        })?;
        let pointer = self.pointer(field);
        let maps = maps.into_iter().enumerate();
        Some(
            maps.map(|(i, map)| self.inside(format!("{pointer}/{i}"), map, &read))
                .collect(),
        )
    }

    fn inside<T>(
        &mut self,
        within: String,
        left: Map<String, Value>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let mut inner = Self {
            left,
            wrong: Vec::new(),
            whole: String::new(),
            within,
        };
        let found = read(&mut inner);
        inner.note_unknown();
        self.wrong.append(&mut inner.wrong);
        found
    }

    /// The names of the fields that nobody has asked for yet.
    pub(crate) fn names(&self) -> Vec<String> {
        self.left.keys().cloned().collect()
    }

    pub(crate) fn text(&mut self, field: &str) -> Option<String> {
        self.take(field, "text", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    pub(crate) fn flag(&mut self, field: &str) -> Option<bool> {
        self.take(field, "true or false", |value| value.as_bool())
    }

    /// A whole number; one outside an `i64` is the nearest that is inside, and so is still far too large.
    pub(crate) fn whole(&mut self, field: &str) -> Option<i64> {
        self.take(field, "a whole number", |value| {
            let number = value.as_number()?;
            let float = number.as_f64()?;
            number
                .as_i64()
                .or_else(|| (float.fract() == 0.0).then_some(float as i64))
        })
    }

    /// Whole numbers with commas between them.
    pub(crate) fn numbers(&mut self, field: &str) -> Option<Vec<i64>> {
        let text = self.text(field)?;
        let parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let numbers: std::result::Result<Vec<i64>, &str> =
            parts.map(|part| part.parse().map_err(|_| part)).collect();
        match numbers {
            Ok(numbers) => Some(numbers),
            Err(part) => {
                let shown: String = part.chars().take(40).collect();
                self.wrong(
                    field,
                    format!("\"{}\" is no number: \"{field}\" holds numbers and commas, such as \"8888,8080\".", shown.escape_debug()),
                );
                None
            }
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, field: &str) -> Option<Vec<String>> {
        self.take(field, "a list of texts", |value| {
            serde_json::from_value(value).ok()
        })
    }

    /// An object whose values are texts.
    pub(crate) fn names_and_texts(
        &mut self,
        field: &str,
    ) -> Option<std::collections::BTreeMap<String, String>> {
        self.take(field, "an object whose values are texts", |value| {
            serde_json::from_value(value).ok()
        })
    }

    /// A duration such as `30m`, `2h` or `1d`.
    pub(crate) fn duration(&mut self, field: &str) -> Option<Duration> {
        let text = self.text(field)?;
        let read = crate::units::duration(&text);
        if read.is_none() {
            self.wrong(
                field,
                format!("\"{field}\" must be a duration such as \"30m\", \"2h\" or \"1d\"."),
            );
        }
        read
    }

    fn note_unknown(&mut self) {
        let unknown: Vec<String> = self.left.keys().take(10).cloned().collect();
        for field in unknown {
            let shown: String = field.chars().take(40).collect();
            self.wrong(
                &field,
                format!("There is no field \"{}\".", shown.escape_debug()),
            );
        }
    }

    /// Refuses what nobody has asked for, and everything that was wrong.
    pub(crate) fn done(mut self) -> Result<()> {
        self.note_unknown();
        if self.wrong.is_empty() {
            Ok(())
        } else {
            Err(Error::invalid_fields(self.wrong).into())
        }
    }
}

#[cfg(test)]
mod tests;
