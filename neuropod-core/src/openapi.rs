//! Schemas of the values that are texts in JSON.

use std::borrow::Cow;

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{RefOr, schema};
use utoipa::{PartialSchema, ToSchema};

use crate::id::{AccountId, GpuId, PodId, TemplateId, UserId};
use crate::money::Money;
use crate::time::Time;

macro_rules! texts {
    ($($type:ident: $text:expr;)*) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $text.into()
            }
        }
        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                stringify!($type).into()
            }
        }
    )*};
}

texts! {
    PodId: pattern("^[0-9a-f]{16}$", "A pod.", "5f0c2a9be1d47386");
    UserId: pattern("^[0-9a-f]{24}$", "A user.", "6650f0c2a9be1d4738600001");
    TemplateId: pattern("^[0-9a-f]{24}$", "A template.", "6650f0c2a9be1d4738600002");
    GpuId: pattern("^[a-z0-9-]{2,40}$", "An entry of the price list.", "rtx-4050");
    AccountId: text("An account of the ledger: `user:<id>`, `revenue`, `funding`, `grants` or `forfeited`.", "revenue");
    Money: pattern(r"^-?[0-9]+(\.[0-9]{1,6})?$", "An amount, to the millionth.", "2.5");
    Time: text("An instant in UTC.", "2026-11-24T12:00:00Z").format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
}

fn text(description: &str, example: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(schema::SchemaType::Type(Type::String))
        .description(Some(description))
        .examples([example])
}

fn pattern(pattern: &str, description: &str, example: &str) -> ObjectBuilder {
    text(description, example).pattern(Some(pattern))
}
