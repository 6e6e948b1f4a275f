//! Every route with its operation: the router and the document are made of the same list.

use axum::Router;
use neuropod::Platform;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::client::client;
use crate::config::Config;
use crate::docs::docs;
use crate::{
    App, account, admin, ask, billing, catalogue, events, export, google, health, logs, metrics,
    openapi, pods, prices, prometheus, status, templates, users,
};

/// The routes, the document among them.
pub(crate) fn routes(platform: &Platform, config: &Config) -> Router<App> {
    let all = operations(config.dev).merge(google::routes(platform, config));
    let (routes, api) = all.split_for_parts();
    let routes = routes.merge(docs(&openapi::complete(api)));
    match config.dev {
        true => {
            let leads_back = config.frontend() == Some(config.public_url());
            let has_provider = leads_back && !config.google.google_client_id.is_empty();
            routes.merge(client(has_provider))
        }
        false => routes,
    }
}

/// The document of a server that has all operations.
pub(crate) fn document() -> OpenApi {
    openapi::complete(operations(true).merge(google::operations()).into_openapi())
}

fn operations(development: bool) -> OpenApiRouter<App> {
    let mut routes = OpenApiRouter::with_openapi(openapi::blank());
    if development {
        routes = routes.routes(routes!(account::mock_login));
    }
    routes
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(prometheus::figures))
        .routes(routes!(health::health))
        .routes(routes!(health::public_status))
        .routes(routes!(status::status))
        .routes(routes!(account::logout))
        .routes(routes!(account::verify))
        .routes(routes!(account::me))
        .routes(routes!(pods::list, ask::launch))
        .routes(routes!(pods::admin_list))
        .routes(routes!(pods::one, pods::delete))
        .routes(routes!(pods::start))
        .routes(routes!(pods::stop))
        .routes(routes!(pods::heartbeat))
        .routes(routes!(pods::connections))
        .routes(routes!(logs::logs))
        .routes(routes!(metrics::metrics))
        .routes(routes!(events::follow))
        .routes(routes!(ask::quote))
        .routes(routes!(billing::balance))
        .routes(routes!(billing::statement))
        .routes(routes!(billing::usage))
        .routes(routes!(
            billing::budget,
            billing::set_budget,
            billing::no_budget
        ))
        .routes(routes!(export::export))
        .routes(routes!(billing::credit))
        .routes(routes!(catalogue::pricing, prices::update))
        .routes(routes!(catalogue::public_pricing))
        .routes(routes!(billing::price_history))
        .routes(routes!(prices::reset))
        .routes(routes!(prices::calculate))
        .routes(routes!(prices::available))
        .routes(routes!(prices::one))
        .routes(routes!(catalogue::templates, templates::create))
        .routes(routes!(templates::summary))
        .routes(routes!(
            catalogue::template,
            templates::update,
            templates::delete
        ))
        .routes(routes!(users::list))
        .routes(routes!(users::set_balance))
        .routes(routes!(users::suspend))
        .routes(routes!(users::unsuspend))
        .routes(routes!(users::fix_balances))
        .routes(routes!(users::fix_admin_balances))
        .routes(routes!(users::delete))
        .routes(routes!(admin::activity))
        .routes(routes!(admin::broadcast))
        .routes(routes!(admin::force))
}
