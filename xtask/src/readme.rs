//! The README's code is the example's code.

use crate::shell;

#[test]
fn its_quickstart_is_the_example() {
    let checkout = shell::checkout().unwrap();
    let read = |name| std::fs::read_to_string(checkout.join(name)).unwrap();
    let (readme, example) = (read("README.md"), read("examples/quickstart.rs"));
    assert!(
        readme.contains(&format!("```rust\n{example}```\n")),
        "README.md does not show examples/quickstart.rs as it is"
    );
    assert!(example.lines().count() <= 40, "it is to fit on one screen");
}
