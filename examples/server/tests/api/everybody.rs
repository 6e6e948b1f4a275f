//! Every operation of the OpenAPI document, asked by everybody.

use crate::support::{Operation, Scene, Who};

/// Who may do an operation.
#[derive(Debug, Clone, Copy)]
enum May {
    /// Also those without a token.
    Anybody,
    /// Whoever has signed in.
    Users,
    /// About what is one's own, and administrators; to others it is not there.
    Owners,
    Admins,
}

/// Who may do what, and what those who may are answered to a good request.
const ROWS: &[(&str, May, u16)] = &[
    ("alive", May::Anybody, 200),
    ("ready", May::Anybody, 200),
    ("figures", May::Admins, 200),
    ("health", May::Anybody, 200),
    ("status", May::Admins, 200),
    ("publicStatus", May::Anybody, 200),
    ("mockLogin", May::Anybody, 200),
    // The provider does not answer: a browser is led to the frontend's page, which is told so.
    ("googleLogin", May::Anybody, 503),
    ("beginGoogleLogin", May::Anybody, 303),
    ("endGoogleLogin", May::Anybody, 303),
    ("logout", May::Users, 200),
    ("verify", May::Users, 200),
    ("me", May::Users, 200),
    ("listPods", May::Users, 200),
    ("listPodsAsAdmin", May::Admins, 200),
    ("launchPod", May::Users, 201),
    ("quotePod", May::Users, 200),
    ("getPod", May::Owners, 200),
    ("deletePod", May::Owners, 200),
    // It runs.
    ("startPod", May::Owners, 409),
    ("stopPod", May::Owners, 200),
    ("beat", May::Owners, 200),
    ("getPodConnections", May::Owners, 200),
    ("getPodLogs", May::Owners, 200),
    ("getPodMetrics", May::Owners, 200),
    ("followEvents", May::Users, 200),
    ("getBalance", May::Owners, 200),
    ("getStatement", May::Owners, 200),
    ("getUsage", May::Owners, 200),
    ("exportUsage", May::Owners, 200),
    ("getBudget", May::Owners, 200),
    ("setBudget", May::Owners, 200),
    ("deleteBudget", May::Owners, 200),
    ("credit", May::Admins, 200),
    ("getPricing", May::Users, 200),
    ("getPublicPricing", May::Anybody, 200),
    ("getPriceHistory", May::Users, 200),
    ("updatePricing", May::Admins, 200),
    ("resetPricing", May::Admins, 200),
    ("calculateCost", May::Users, 200),
    ("listAvailableGpus", May::Users, 200),
    ("getGpu", May::Users, 200),
    ("listTemplates", May::Users, 200),
    ("getTemplate", May::Users, 200),
    ("templateSummary", May::Users, 200),
    ("createTemplate", May::Admins, 201),
    // Nobody has made the one that is asked about.
    ("updateTemplate", May::Admins, 200),
    ("deleteTemplate", May::Admins, 200),
    ("listUsers", May::Admins, 200),
    ("setBalance", May::Admins, 200),
    ("suspendUser", May::Admins, 200),
    ("unsuspendUser", May::Admins, 200),
    ("deleteUser", May::Admins, 200),
    ("fixBalances", May::Admins, 200),
    ("fixAdminBalances", May::Admins, 200),
    ("listActivity", May::Admins, 200),
    ("broadcast", May::Admins, 200),
    ("forcePod", May::Admins, 200),
];

/// The status and the code of what `who` is answered.
fn wanted(may: May, good: u16, who: Who) -> (u16, &'static str) {
    let good = (good, "");
    match (may, who) {
        (May::Anybody, _) => good,
        (_, Who::Anonymous | Who::Expired | Who::Revoked) => (401, "unauthenticated"),
        (_, Who::Suspended) => (403, "account_suspended"),
        (May::Admins, Who::Ana | Who::Ben) => (403, "forbidden"),
        (May::Owners, Who::Ben) => (404, "not_found"),
        _ => good,
    }
}

#[tokio::test]
async fn everybody_gets_what_is_theirs() {
    let operations = Operation::all();
    for (id, ..) in ROWS {
        let known = operations.iter().any(|operation| operation.id == *id);
        assert!(known, "there is no operation {id} any more: remove its row");
    }
    for operation in &operations {
        let row = ROWS.iter().find(|(id, ..)| *id == operation.id);
        let &(id, may, good) = row.unwrap_or_else(|| {
            panic!(
                "{0} is new: add a row to ROWS in tests/api/everybody.rs, (\"{0}\", who may, status of a good request)",
                operation.id
            )
        });
        assert_eq!(
            operation.needs_token(),
            !matches!(may, May::Anybody),
            "{id}"
        );
        let mut scene = Scene::new().await;
        for who in Who::ALL {
            let request = scene.by(who, scene.request(operation)).await;
            let before = scene.holds();
            let (status, code) = wanted(may, good, who);
            if id == "followEvents" && status == good {
                assert_eq!(request.open().await.status, good, "{id} by {who:?}");
                continue;
            }
            let answer = request.send().await;
            assert_eq!(answer.status, status, "{id} by {who:?}: {answer:?}");
            let said = operation.responses().into_iter().map(|(status, _)| status);
            assert!(
                said.into_iter().any(|said| said == status),
                "{id} does not say {status}"
            );
            if code.is_empty() {
                // Who may has changed what the next one is to find.
                scene = Scene::new().await;
            } else {
                answer.problem(status, code);
                assert_eq!(scene.holds(), before, "{id} by {who:?} changed something");
            }
            if status == 401 {
                assert_eq!(answer.header("www-authenticate"), Some("bearer"));
            }
        }
    }
}
