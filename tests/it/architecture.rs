//! The layers of ARCHITECTURE.md, read from the code's own imports: dependencies point one way.

use std::{fs, path::Path};

/// What each module may use; anything else of this crate is refused.
const ALLOWED: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["app", "config", "http", "ingest", "models", "postgres", "telemetry", "text_to_sql"]),
    ("http", &["answer", "app", "ingest", "lexemes", "models", "store", "text_to_sql"]),
    ("app", &["answer", "config", "ingest", "models", "postgres", "store", "telemetry", "text_to_sql"]),
    ("answer", &["lexemes", "models", "store"]),
    ("ingest", &["lexemes", "models", "store"]),
    ("text_to_sql", &["models"]),
    // What introspection found is kept as it is: the nouns of `text_to_sql::schema`, and no more.
    ("store", &["text_to_sql"]),
    ("telemetry", &["config"]),
    ("models", &[]),
    ("lexemes", &[]),
    ("postgres", &[]),
    ("config", &[]),
    ("lib", &[]),
];

#[test]
fn dependencies_point_one_way() {
    let mut wrong = Vec::new();
    visit(Path::new("src"), &mut |path| {
        let module =
            path.strip_prefix("src").unwrap().components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        let module = module.trim_end_matches(".rs");
        let allowed = ALLOWED.iter().find(|(name, _)| *name == module).map(|(_, allowed)| *allowed);
        let allowed = allowed.unwrap_or_else(|| panic!("{module} has no place in the layers"));
        let code = fs::read_to_string(path).unwrap();
        for used in modules_used(&code) {
            if used != module && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{} uses {used}", path.display()));
            }
        }
        if module == "store" && code.contains("text_to_sql::") && !code.contains("text_to_sql::schema::") {
            wrong.push(format!("{} uses more of text_to_sql than its nouns", path.display()));
        }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn steps_do_not_call_their_recipe_or_the_web() {
    visit(Path::new("src"), &mut |path| {
        let code = fs::read_to_string(path).unwrap();
        let recipe = ["ingest", "answer", "text_to_sql", "store", "models"]
            .iter()
            .any(|name| path.starts_with(format!("src/{name}")));
        assert!(!(recipe && code.contains("axum::")), "{} knows the web", path.display());
    });
}

/// The first segment of every `crate::…` path, whether imported one by one or in a group.
fn modules_used(code: &str) -> Vec<String> {
    let mut used = Vec::new();
    for part in code.split("crate::").skip(1) {
        match part.strip_prefix('{') {
            Some(group) => used.extend(top_level_names(group)),
            None => used.push(name(part)),
        }
    }
    used.retain(|name| !name.is_empty());
    used
}

/// The names at the first level of `a::b, c::{d, e}, f};`.
fn top_level_names(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut at_start) = (0, Vec::new(), true);
    for (index, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            character if at_start && !character.is_whitespace() => {
                names.push(name(&group[index..]));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}

fn name(text: &str) -> String {
    text.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
}

fn visit(dir: &Path, look: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, look);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            look(&path);
        }
    }
}
