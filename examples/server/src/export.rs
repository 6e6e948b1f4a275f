//! `/api/billing/export`: what was used, for a spreadsheet or in the columns of FOCUS 1.2 (<https://focus.finops.org>).

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use neuropod::id::AccountId;
use neuropod::money::Money;
use neuropod::spending::Span;
use neuropod::store::Meter;
use neuropod::{Error, Time};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::billing::{During, Whose};
use crate::caller::Caller;
use crate::openapi::Refused;
use crate::page::Search;
use crate::problem::{Problem, Result};

/// Whoever provides, publishes and bills in FOCUS' sense.
const ISSUER: &str = "NeuroPod";

/// Whose spans they are.
struct Account {
    id: AccountId,
    name: String,
    currency: String,
    /// The period that was asked for.
    period: (Time, Time),
}

type Column = (&'static str, fn(&Span, &Account) -> String);

const PLAIN: &[Column] = &[
    ("from", |span, _| span.used.from.to_string()),
    ("to", |span, _| span.used.to.to_string()),
    ("pod", |span, _| span.pod().to_string()),
    ("product", |span, _| text(&span.used.product)),
    ("quantity", |span, _| span.used.quantity.to_string()),
    ("ratePerHour", |span, _| span.used.rate.to_string()),
    ("amount", |span, _| span.amount.to_string()),
    ("currency", |_, account| account.currency.clone()),
    ("posted", |span, _| (!span.open).to_string()),
];

const FOCUS: &[Column] = &[
    ("BilledCost", |span, _| span.amount.to_string()),
    ("BillingAccountId", |_, account| account.id.to_string()),
    ("BillingAccountName", |_, account| text(&account.name)),
    ("BillingAccountType", |_, _| "User".to_owned()),
    ("BillingCurrency", |_, account| account.currency.clone()),
    ("BillingPeriodStart", |_, account| seconds(account.period.0)),
    ("BillingPeriodEnd", |_, account| seconds(account.period.1)),
    ("ChargeCategory", |_, _| "Usage".to_owned()),
    ("ChargeClass", |span, _| match span.amount < Money::ZERO {
        true => "Correction".to_owned(),
        false => String::new(),
    }),
    ("ChargeDescription", |span, _| match span.meter {
        Meter::Run(pod, n) => format!("Run {n} of pod {pod}"),
        Meter::Volume(pod) => format!("Volume of pod {pod}"),
    }),
    ("ChargeFrequency", |_, _| "Usage-Based".to_owned()),
    ("ChargePeriodStart", |span, _| seconds(span.used.from)),
    ("ChargePeriodEnd", |span, _| seconds(span.used.to)),
    ("ConsumedQuantity", |span, _| consumed(span)),
    ("ConsumedUnit", |span, _| match span.meter {
        Meter::Run(..) => "Hours".to_owned(),
        Meter::Volume(_) => "GB-Hours".to_owned(),
    }),
    ("ContractedCost", |span, _| span.amount.to_string()),
    ("ContractedUnitPrice", |span, _| span.used.rate.to_string()),
    ("EffectiveCost", |span, _| span.amount.to_string()),
    ("InvoiceIssuerName", |_, _| ISSUER.to_owned()),
    ("ListCost", |span, _| span.amount.to_string()),
    ("ListUnitPrice", |span, _| span.used.rate.to_string()),
    ("PricingCategory", |_, _| "Standard".to_owned()),
    ("PricingCurrency", |_, account| account.currency.clone()),
    ("PricingQuantity", |span, _| hours(span, 1)),
    ("PricingUnit", |_, _| "Hours".to_owned()),
    ("ProviderName", |_, _| ISSUER.to_owned()),
    ("PublisherName", |_, _| ISSUER.to_owned()),
    ("ResourceId", |span, _| span.pod().to_string()),
    ("ResourceType", |span, _| match span.meter {
        Meter::Run(..) => "Pod".to_owned(),
        Meter::Volume(_) => "Volume".to_owned(),
    }),
    ("ServiceCategory", |span, _| match span.meter {
        Meter::Run(..) => "Compute".to_owned(),
        Meter::Volume(_) => "Storage".to_owned(),
    }),
    ("ServiceName", |_, _| "Pods".to_owned()),
    ("SkuId", |span, _| text(&span.used.product)),
    ("SkuPriceId", |span, _| {
        format!("{}@{}", text(&span.used.product), span.used.rate)
    }),
];

/// In which columns.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Columns {
    /// Plain ones, if it is not said.
    #[param(value_type = Option<Format>, inline)]
    format: Option<String>,
}

/// The kinds of columns.
#[derive(ToSchema)]
#[schema(as = ExportFormat)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "what `export` reads, for the document")]
enum Format {
    /// Plain ones.
    Csv,
    /// Those of FOCUS 1.2.
    Focus,
}

/// What was used, as CSV
#[utoipa::path(
    get, path = "/api/billing/export", operation_id = "exportUsage", params(Whose, During, Columns),
    responses((status = 200, body = String, content_type = "text/csv"), Refused<404>),
)]
pub(crate) async fn export(
    State(app): State<App>,
    Caller(who): Caller,
    Search(whose): Search<Whose>,
    Search(during): Search<During>,
    Search(asked): Search<Columns>,
) -> Result<Response> {
    let (columns, name) = match asked.format.as_deref() {
        None | Some("csv") => (PLAIN, "usage.csv"),
        Some("focus") => (FOCUS, "usage-focus-1.2.csv"),
        Some(_) => {
            let message = "\"format\" must be \"csv\" or \"focus\".";
            return Err(Problem::validation(message));
        }
    };
    let period = during.period(app.platform.clock().now())?;
    let user = whose.user(&who)?;
    let spans = app
        .platform
        .spending(&who, user, period.0, period.1)
        .await?;
    let (_, prices) = app.platform.prices().await?;
    let row = app.platform.store().user(user).await?;
    let account = Account {
        id: AccountId::of(user),
        name: row.map_or(who.user.name, |user| user.name),
        currency: prices.currency,
        period,
    };
    let failed = |e: csv::Error| Error::internal("The export can't be written.").caused_by(e);
    let mut table = csv::Writer::from_writer(Vec::new());
    let names = columns.iter().map(|(name, _)| *name);
    table.write_record(names).map_err(failed)?;
    for span in &spans {
        let cells = columns.iter().map(|(_, cell)| cell(span, &account));
        table.write_record(cells).map_err(failed)?;
    }
    let bytes = table
        .into_inner()
        .map_err(|e| Error::internal("The export can't be written.").caused_by(e.into_error()))?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    Ok((headers, bytes).into_response())
}

/// What somebody has named: a spreadsheet takes what begins like this for a formula.
fn text(text: &str) -> String {
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{text}"),
        _ => text.to_owned(),
    }
}

/// As FOCUS writes instants.
fn seconds(t: Time) -> String {
    let text = t.to_string();
    let whole = text.split('.').next().unwrap_or_default();
    format!("{whole}Z")
}

fn consumed(span: &Span) -> String {
    match span.meter {
        Meter::Run(..) => hours(span, 1),
        Meter::Volume(_) => hours(span, span.used.quantity),
    }
}

/// Hours with six decimals, times something.
fn hours(span: &Span, times: u32) -> String {
    let micros = span.used.to.since(span.used.from).as_micros() * u128::from(times);
    let millionths = micros * 1_000_000 / 3_600_000_000;
    format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000)
}
