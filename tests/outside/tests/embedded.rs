//! The program that embeds NeuroPod, over a backend of its own; and how little its parts take.

use futures::FutureExt;
use outside::{embed, tasks::Tasks};
use std::time::Duration;

#[tokio::test]
async fn a_pod_on_ones_own_backend_is_launched_and_billed_through_the_nested_routes() {
    let sleeps = Tasks::new([("sleeps", |mut told| {
        async move { told.wait_for(|told| *told).await.map_or(1, |_| 0) }.boxed()
    })]);
    let story = embed::story(sleeps, "sleeps");
    let story = tokio::time::timeout(Duration::from_secs(60), story);
    story.await.expect("it ends").unwrap();
}

#[test]
fn own_users_take_thirty_lines_own_bills_sixty_and_the_suite_ten() {
    let embed = include_str!("../../../examples/embed.rs");
    assert!(lines(embed, "impl Auth for Users") <= 30);
    assert!(lines(embed, "impl Billing for Bills") <= 60);
    assert!(lines(include_str!("conformance.rs"), "async fn main()") <= 10);
}

/// How many lines an item has that begins with `first`, to the brace that closes it.
fn lines(text: &str, first: &str) -> usize {
    let from = text.lines().skip_while(|line| !line.starts_with(first));
    let count = from.take_while(|line| *line != "}").count();
    assert!(count > 0, "there is no {first}");
    count + 1
}
