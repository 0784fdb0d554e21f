//! The operator's document says what the configuration is.

use lasso_net::config::VARIABLES;

const DOCUMENT: &str = include_str!("../../docs/operating.md");

#[test]
fn the_table_of_variables_is_the_one_of_the_code() {
    let (_, after) = DOCUMENT
        .split_once("| variable | default | meaning |\n| --- | --- | --- |\n")
        .expect("the table is there");
    let told: Vec<&str> = after
        .lines()
        .take_while(|line| line.starts_with('|'))
        .collect();
    let known: Vec<String> = VARIABLES
        .iter()
        .map(|variable| {
            let default = match variable.default {
                "" => String::new(),
                default => format!("`{default}` "),
            };
            format!("| `{}` | {default}| {} |", variable.name, variable.help)
        })
        .collect();
    assert_eq!(told, known);
}
