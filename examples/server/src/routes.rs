//! Every route with its operation: the router and the document are made of the same list.

use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::docs::docs;
use crate::{
    App, account, admin, ask, billing, catalogue, export, health, logs, openapi, pods, prices,
    status, templates, users,
};

/// The routes, the document among them.
pub(crate) fn routes(development: bool) -> Router<App> {
    let (routes, api) = operations(development).split_for_parts();
    routes.merge(docs(&openapi::complete(api)))
}

/// The document of a server in development mode, or of any other.
pub(crate) fn document(development: bool) -> OpenApi {
    openapi::complete(operations(development).into_openapi())
}

fn operations(development: bool) -> OpenApiRouter<App> {
    let mut routes = OpenApiRouter::with_openapi(openapi::blank());
    if development {
        routes = routes.routes(routes!(account::mock_login));
    }
    routes
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
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
        .routes(routes!(pods::connections))
        .routes(routes!(logs::logs))
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
