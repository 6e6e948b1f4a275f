//! Amounts as they are shown and asked for.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// An amount, or the original's word for one without end: JSON has no infinity.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Endless<T> {
    /// So much.
    Amount(T),
    /// Never runs out.
    Word(Infinity),
}

/// The word.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) enum Infinity {
    /// As it is written.
    Infinity,
}

impl<T> Endless<T> {
    /// `amount`, unless it is without end.
    pub(crate) fn of(amount: T, endless: bool) -> Self {
        match endless {
            true => Self::Word(Infinity::Infinity),
            false => Self::Amount(amount),
        }
    }
}

/// An amount in a body: a decimal as text, which is exact, or a number.
#[derive(Debug)]
pub(crate) enum Amount {}

impl PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"^[0-9]{1,7}(\.[0-9]{1,6})?$"));
        let number = ObjectBuilder::new()
            .schema_type(Type::Number)
            .minimum(Some(0))
            .maximum(Some(1_000_000));
        OneOfBuilder::new()
            .description(Some(
                "A decimal with at most six decimals as text, which is exact, or a number.",
            ))
            .item(text)
            .item(number)
            .into()
    }
}

impl ToSchema for Amount {
    fn name() -> Cow<'static, str> {
        "Amount".into()
    }
}
