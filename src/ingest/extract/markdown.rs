//! Markdown is canonical text already; only its title is looked for: the front matter's `title`, else the first heading
//! of the first level.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::canonical::canonical;
use super::{Extracted, text};

/// How much of the start is searched for a title.
const TITLE_BYTES: usize = 64 * 1024;

/// The file as it is, decoded, with its title.
pub fn extract(bytes: &[u8]) -> Extracted {
    let text = canonical(&text::decode(bytes));
    Extracted { title: title(&text), text, markdown: true, ..Extracted::default() }
}

/// What a Markdown text calls itself.
pub fn title(text: &str) -> Option<String> {
    let start = &text[..text.floor_char_boundary(TITLE_BYTES)];
    let found = front_matter_title(start).or_else(|| first_heading(start))?;
    let found = found.split_whitespace().collect::<Vec<_>>().join(" ");
    (!found.is_empty()).then_some(found)
}

fn front_matter_title(text: &str) -> Option<String> {
    let (matter, _) = text.strip_prefix("---\n")?.split_once("\n---")?;
    let value = matter.lines().find_map(|line| line.strip_prefix("title:"))?.trim();
    Some(value.trim_matches(['"', '\'']).to_owned())
}

fn first_heading(text: &str) -> Option<String> {
    let mut events = Parser::new_ext(text, Options::ENABLE_YAML_STYLE_METADATA_BLOCKS);
    events.find(|event| matches!(event, Event::Start(Tag::Heading { level: HeadingLevel::H1, .. })))?;
    let inside = events.take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
    Some(
        inside
            .filter_map(|event| match event {
                Event::Text(text) | Event::Code(text) => Some(text.into_string()),
                Event::SoftBreak => Some(" ".to_owned()),
                _ => None,
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::title;

    #[test]
    fn the_title_is_the_front_matters_or_the_first_top_heading() {
        assert_eq!(title("---\ntitle: \"Leave policy\"\n---\n# Other\n").as_deref(), Some("Leave policy"));
        assert_eq!(title("Intro.\n\n## Not this\n\n# The `real` *one*\n").as_deref(), Some("The real one"));
        assert_eq!(title("Setext title\n============\n").as_deref(), Some("Setext title"));
        assert_eq!(title("no heading\n\n## only small ones"), None);
    }
}
