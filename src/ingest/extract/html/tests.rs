use super::*;

fn markdown(html: &str) -> String {
    extract(html.as_bytes()).text
}

fn all(html: &str) -> String {
    whole(html.as_bytes())
}

#[test]
fn a_short_page_is_kept_whole_with_its_structure() {
    let page = "<html><head><title>Leave policy</title></head><body><h1>Leave</h1><p>Ask <a href='/x'>your lead</a>.</p>\
                <ul><li>Annual</li><li>Sick</li></ul>\
                <table><tr><th>Kind</th><th>Days</th></tr><tr><td>Annual</td><td>30</td></tr></table></body></html>";
    let extracted = extract(page.as_bytes());
    assert_eq!(extracted.title.as_deref(), Some("Leave policy"));
    assert!(extracted.markdown);
    insta::assert_snapshot!(extracted.text, @"
    # Leave

    Ask your lead.

    - Annual
    - Sick

    | Kind | Days |
    | --- | --- |
    | Annual | 30 |
    ");
}

#[test]
fn an_article_is_found_among_menus_and_its_headings_keep_their_levels() {
    let paragraph = "<p>The quarterly report says, with many words and a few commas, that revenue grew by a tenth.</p>";
    let menu = "<nav><ul><li><a href='/'>Home</a></li></ul></nav><div class='sidebar'><a href='/a'>Advert</a></div>";
    let parts = format!("<h1>First</h1>{0}<h2>Inner</h2>{0}<h1>Second</h1>{0}", paragraph.repeat(7));
    let page = format!("<title>Report</title><body>{menu}<article>{parts}</article><footer>Imprint</footer></body>");
    let text = markdown(&page);
    assert!(text.contains("revenue grew by a tenth"));
    assert!(!text.contains("Advert") && !text.contains("Home") && !text.contains("Imprint"), "{text}");
    let headings: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(headings, ["# First", "## Inner", "# Second"]);
}

#[test]
fn of_a_page_without_an_article_what_stands_beside_the_content_is_left_out() {
    let page = "<header><a href='/'>Shop</a></header><div role='search'>Find</div><h1>Prices</h1>\
                <table><tr><td>Vane</td><td>12</td></tr><tr><td>Mast</td><td>30</td></tr></table>\
                <div role='dialog' hidden>Cookies</div><aside>Advert</aside><footer>Imprint</footer>";
    assert_eq!(markdown(page), "# Prices\n\n| Vane | 12 |\n| --- | --- |\n| Mast | 30 |\n");
    let page =
        "<header><h1>Manual</h1></header><div>Menu</div><main><header>By Ann</header><p>Text</p></main><div>Ad</div>";
    assert_eq!(markdown(page), "By Ann\n\nText\n");
}

#[test]
fn identifiers_keep_their_underscores_and_signs() {
    let page = "<p>Set max_<b>tok</b>ens to &lt;512&gt; &amp; call <code>f(a*b)[0]</code>.</p><pre>  <code>a\\_b &lt; c<br>d</code>\n</pre>";
    assert_eq!(all(page), "Set max_tokens to <512> & call f(a*b)[0].\n\n```\n  a\\_b < c\nd\n```\n");
}

#[test]
fn cells_keep_their_places_whatever_spans_them_and_whatever_is_in_them() {
    let page = "<table><caption>Stock</caption><thead><tr><th rowspan=2>Item<th colspan=2>Left</tr><tr><th>June<th>July</tr></thead>\
                <tbody><tr><th><p>Vane</p><p>small | blue</p></th><td><ul><li>3</li><li>4</li></ul><td>5\
                <tr><th>Mast<td colspan=2>none</tbody><tfoot><tr><td>Sum<td>7<td>5</tfoot></table>";
    insta::assert_snapshot!(all(page), @r"
    Stock

    | Item | Left |  |
    | --- | --- | --- |
    |  | June | July |
    | Vane small \| blue | - 3 - 4 | 5 |
    | Mast | none |  |
    | Sum | 7 | 5 |
    ");
    let greedy = format!("<table>{}</table>", "<tr><td colspan=1000 rowspan=65534>a<td>b".repeat(200));
    assert_eq!(all(&greedy).matches('b').count(), 200);
}

#[test]
fn tables_that_only_arrange_a_page_are_none() {
    let menu = "<td>Menu</td>";
    for page in [
        format!("<table><tr>{menu}<td><h1>Head</h1><p>Text</p></td></tr><tr><td>x</td></tr></table>"),
        format!("<table role=presentation><tr>{menu}<td>a</td></tr><tr><td>b</td><td>c</td></tr></table>"),
        "<table><tr><td>One</td></tr><tr><td><table><tr><td>two</td></tr></table></td></tr></table>".to_owned(),
    ] {
        assert!(!all(&page).contains('|'), "{}", all(&page));
    }
    let inner = "<table><tr><td>1<td>2<tr><td>3<td>4</table>";
    let page = format!("<table><tr><td>a<td>b<tr><td>c<td>{inner}</table>");
    assert_eq!(all(&page), "| a | b |\n| --- | --- |\n| c |  |\n\n| 1 | 2 |\n| --- | --- |\n| 3 | 4 |\n");
}

#[test]
fn lists_nest_and_count_and_take_in_paragraphs() {
    let page = "<ol start=3><li><p>three</p><p>more</p><ul><li>inside<blockquote>said</blockquote></ul><li value=7>seven<li>eight</ol><p>Then</p><li>lost";
    insta::assert_snapshot!(all(page), @"
    3. three

       more
       - inside

         said
    7. seven
    8. eight

    Then

    - lost
    ");
}

#[test]
fn notes_quotations_formulas_and_pictures_are_written_as_in_other_formats() {
    let page = "<p>Frost<sup><a href='#n1'>1</a></sup> comes<a href='#n2' role='doc-noteref'>2</a> at x<sup>2</sup>.</p>\
                <blockquote><p>Close it.</p><p>Now.</p></blockquote>\
                <p><math><msup><mi>t</mi><mn>2</mn></msup><annotation>t^{2}</annotation></math></p>\
                <figure><img alt='A mast'><figcaption>A mast in snow</figcaption></figure>\
                <figure><img alt='A vane'><figcaption aria-hidden='true'>A vane</figcaption></figure><img alt='x.png'>\
                <p id='n1'>By mail.<a href='#r1' role='doc-backlink'>↩</a></p><p>one<br>\n two<wbr>fold</p>";
    insta::assert_snapshot!(all(page), @"
    Frost[^1] comes[^2] at x2.

    > Close it.
    >
    > Now.

    t^2

    A mast in snow

    A vane

    By mail.

    one
    twofold
    ");
}

#[test]
fn what_is_not_shown_is_no_text() {
    let page = "<style>p{}</style><script>alert(1)</script><p>Hello.</p><p style='display: none'>a</p><p hidden>b</p>\
                <span aria-hidden=true>*</span><svg><text>c</text></svg><button>d</button><template>e</template>";
    assert_eq!(all(page), "Hello.\n");
}

#[test]
fn a_declared_encoding_is_used() {
    let page = b"<html><head><meta charset=\"iso-8859-2\"></head><body><p>\xb1\xe6\xea</p></body></html>";
    assert_eq!(extract(page).text, "ąćę\n");
}
