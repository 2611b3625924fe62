//! Embeddings and language models over HTTP, against a server that is strict and, when told so, broken.

use std::time::{Duration, Instant};

use almanac::models::openai::{OpenAiEmbedder, OpenAiLanguageModel, Server};
use almanac::models::{AnswerFormat, Embedder, Ending, LanguageModel, ModelError, Passage, Prompt, Said, Usage};
use futures::StreamExt;

use crate::fake_openai::{Behaviour, DEFAULT_TEXT, DIMENSIONS, FakeOpenAi, KEY, vector};

fn server(url: &str, model: &str) -> Server {
    Server { url: url.parse().expect("a URL"), key: Some(KEY.into()), model: model.to_owned() }
}

fn embedder(fake: &FakeOpenAi) -> OpenAiEmbedder {
    OpenAiEmbedder::new(&server(&fake.url(), "test-embedding"), DIMENSIONS).expect("an embedder")
}

fn language_model(fake: &FakeOpenAi) -> OpenAiLanguageModel {
    OpenAiLanguageModel::new(&server(&fake.url(), "test-chat")).expect("a language model")
}

fn prompt(deadline: Duration) -> Prompt {
    Prompt {
        system: "Answer in one sentence.".to_owned(),
        user: "How long is the warranty?".to_owned(),
        max_tokens: 100,
        temperature: 0.0,
        deadline,
        format: None,
    }
}

const PATIENT: Duration = Duration::from_secs(20);

fn passages(count: usize) -> Vec<Passage> {
    (0..count).map(|i| Passage { text: format!("passage number {i}"), token_ids: Vec::new() }).collect()
}

fn refuse(status: u16, retry_after: Option<&'static str>) -> Behaviour {
    Behaviour::Refuse { status, retry_after, code: "some_code" }
}

fn near(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-6)
}

#[tokio::test]
async fn documents_go_in_requests_of_32_and_their_vectors_come_back_in_order() {
    let fake = FakeOpenAi::start().await;
    let vectors = embedder(&fake).embed_documents(passages(70)).await.expect("vectors");
    assert_eq!(vectors.len(), 70);
    for (i, found) in vectors.iter().enumerate() {
        assert!(near(found, &vector(&format!("passage number {i}"), DIMENSIONS)), "passage {i}");
    }
    let mut sizes: Vec<usize> =
        fake.seen().iter().map(|seen| seen.body["input"].as_array().map_or(0, Vec::len)).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [6, 32, 32]);
    assert!(fake.complaints().is_empty(), "{:?}", fake.complaints());
}

#[tokio::test]
async fn an_empty_text_has_a_vector_too() {
    let fake = FakeOpenAi::start().await;
    assert_eq!(embedder(&fake).embed_query("").await.expect("a vector").len(), DIMENSIONS);
    assert!(embedder(&fake).embed_documents(Vec::new()).await.expect("nothing").is_empty());
}

#[tokio::test]
async fn openais_third_generation_is_asked_for_the_dimensions() {
    let fake = FakeOpenAi::start().await;
    let third = OpenAiEmbedder::new(&server(&fake.url(), "text-embedding-3-small"), 24).expect("an embedder");
    assert_eq!(third.embed_query("a question").await.expect("a vector").len(), 24);
    assert_eq!(third.name(), "text-embedding-3-small@24");
}

#[tokio::test]
async fn an_azure_deployment_gets_its_own_header_and_version() {
    let fake = FakeOpenAi::start().await;
    let azure =
        OpenAiEmbedder::new(&server(&fake.azure_url("mine"), "test-embedding"), DIMENSIONS).expect("an embedder");
    azure.embed_query("a question").await.expect("a vector");
    assert_eq!(fake.seen()[0].path, "/openai/deployments/mine/embeddings");
    assert!(fake.complaints().is_empty(), "{:?}", fake.complaints());
}

#[tokio::test]
async fn a_busy_server_is_asked_again_after_the_time_it_names() {
    let fake = FakeOpenAi::start().await;
    fake.script([refuse(429, Some("1"))]);
    let start = Instant::now();
    embedder(&fake).embed_query("a question").await.expect("a vector");
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(fake.seen().len(), 2);
}

#[tokio::test]
async fn failures_that_pass_are_tried_again() {
    for behaviour in [refuse(503, None), Behaviour::Cut, Behaviour::TruncatedJson] {
        let fake = FakeOpenAi::start().await;
        fake.script([behaviour.clone()]);
        let completion = language_model(&fake).complete(&prompt(PATIENT)).await;
        assert_eq!(completion.map(|completion| completion.text).as_deref(), Ok(DEFAULT_TEXT), "{behaviour:?}");
        assert_eq!(fake.seen().len(), 2, "{behaviour:?}");
    }
}

#[tokio::test]
async fn a_server_that_stays_down_is_given_up_after_six_tries() {
    let fake = FakeOpenAi::start().await;
    fake.script(vec![refuse(503, Some("0")); 20]);
    let error = language_model(&fake).complete(&prompt(PATIENT)).await.expect_err("down");
    assert!(matches!(error, ModelError::Retry(_)), "{error}");
    assert_eq!(fake.seen().len(), 6);
}

#[tokio::test]
async fn a_pause_that_outlasts_the_deadline_is_not_waited_for() {
    let fake = FakeOpenAi::start().await;
    fake.script([refuse(429, Some("3600"))]);
    let start = Instant::now();
    let error = language_model(&fake).complete(&prompt(PATIENT)).await.expect_err("busy");
    assert!(matches!(error, ModelError::Retry(_)), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_server_that_is_not_there_can_be_tried_again_later() {
    let gone = FakeOpenAi::start().await.url();
    let model = OpenAiLanguageModel::new(&server(&gone, "test-chat")).expect("a language model");
    let error = model.complete(&prompt(Duration::from_secs(1))).await.expect_err("nobody there");
    assert!(matches!(error, ModelError::Retry(_) | ModelError::Timeout(_)), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_is_a_timeout() {
    let fake = FakeOpenAi::start().await;
    fake.script([Behaviour::SlowFirstByte(Duration::from_secs(30))]);
    let error = language_model(&fake).complete(&prompt(Duration::from_millis(300))).await.expect_err("slow");
    assert!(matches!(error, ModelError::Timeout(_)), "{error}");
}

#[tokio::test]
async fn what_trying_again_does_not_mend_is_given_up_at_once() {
    let quota = Behaviour::Refuse { status: 429, retry_after: Some("0"), code: "insufficient_quota" };
    for behaviour in [refuse(401, None), refuse(404, None), quota, Behaviour::WrongDimension, Behaviour::EndlessBody] {
        let fake = FakeOpenAi::start().await;
        fake.script([behaviour.clone()]);
        let error = embedder(&fake).embed_query("a question").await.expect_err("no use");
        assert!(matches!(error, ModelError::GiveUp(_)), "{behaviour:?}: {error}");
        assert_eq!(fake.seen().len(), 1, "{behaviour:?}");
    }
}

#[tokio::test]
async fn a_text_that_is_too_long_for_the_model_is_to_be_shortened() {
    let fake = FakeOpenAi::start().await;
    fake.script([Behaviour::Refuse { status: 400, retry_after: None, code: "context_length_exceeded" }]);
    let error = language_model(&fake).complete(&prompt(PATIENT)).await.expect_err("too long");
    assert!(matches!(error, ModelError::Shorten(_)), "{error}");
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let (fake, other) = (FakeOpenAi::start().await, FakeOpenAi::start().await);
    fake.script([Behaviour::Redirect(format!("{}/chat/completions", other.url()))]);
    let error = language_model(&fake).complete(&prompt(PATIENT)).await.expect_err("a redirect");
    assert!(matches!(error, ModelError::GiveUp(_)), "{error}");
    assert!(other.seen().is_empty() && other.complaints().is_empty());
}

#[tokio::test]
async fn a_key_appears_in_no_error_and_no_debug_output() {
    let fake = FakeOpenAi::start().await;
    let wrong = Server { key: Some("sk-wrong-but-secret".into()), ..server(&fake.url(), "test-chat") };
    let model = OpenAiLanguageModel::new(&wrong).expect("a language model");
    let error = model.complete(&prompt(PATIENT)).await.expect_err("a wrong key");
    let ModelError::GiveUp(detail) = &error else { panic!("{error}") };
    assert!(detail.contains("[redacted]"), "the server repeated the key, but not: {detail}");
    assert!(!format!("{error:?} {model:?}").contains("but-secret"));
}

#[tokio::test]
async fn a_completion_tells_what_it_cost() {
    let fake = FakeOpenAi::start().await;
    fake.say("select 1");
    let completion = language_model(&fake).complete(&prompt(PATIENT)).await.expect("a completion");
    assert_eq!((completion.text.as_str(), completion.usage), ("select 1", Some(USAGE)));
    assert_eq!(fake.seen()[0].body["max_tokens"], 100);
}

#[tokio::test]
async fn an_answer_of_a_form_is_asked_for_as_structured_output_until_the_server_refuses() {
    let fake = FakeOpenAi::start().await;
    let model = language_model(&fake);
    let schema = serde_json::json!({"type": "object", "properties": {"sql": {"type": ["string", "null"]}},
        "required": ["sql"], "additionalProperties": false});
    let formed = Prompt { format: Some(AnswerFormat { name: "query", schema: schema.clone() }), ..prompt(PATIENT) };
    model.complete(&formed).await.expect("a completion");
    model.complete(&prompt(PATIENT)).await.expect("a completion");
    fake.refuse_formats();
    for _ in 0..2 {
        assert_eq!(model.complete(&formed).await.map(|said| said.text).as_deref(), Ok(DEFAULT_TEXT));
    }
    let asked: Vec<_> = fake.seen().iter().map(|seen| seen.body["response_format"].clone()).collect();
    let format = serde_json::json!({"type": "json_schema",
        "json_schema": {"name": "query", "strict": true, "schema": schema}});
    let none = serde_json::Value::Null;
    assert_eq!(asked, [format.clone(), none.clone(), format, none.clone(), none]);
    assert!(fake.complaints().is_empty(), "{:?}", fake.complaints());
}

#[tokio::test]
async fn a_refusal_for_another_reason_does_not_end_structured_output() {
    let fake = FakeOpenAi::start().await;
    let model = language_model(&fake);
    let schema = serde_json::json!({"type": "object", "properties": {}, "required": [], "additionalProperties": false});
    let formed = Prompt { format: Some(AnswerFormat { name: "nothing", schema }), ..prompt(PATIENT) };
    fake.script([refuse(400, None), refuse(400, None)]);
    let error = model.complete(&formed).await.expect_err("refused with and without");
    assert!(matches!(error, ModelError::GiveUp(_)), "{error}");
    model.complete(&formed).await.expect("a completion");
    assert!(!fake.seen()[2].body["response_format"].is_null());
}

#[tokio::test]
async fn a_completion_that_was_cut_says_so() {
    let fake = FakeOpenAi::start().await;
    fake.script([Behaviour::CutShort, Behaviour::Well]);
    let model = language_model(&fake);
    assert!(model.complete(&prompt(PATIENT)).await.expect("a completion").cut);
    assert!(!model.complete(&prompt(PATIENT)).await.expect("a completion").cut);
}

/// What the fake counts.
const USAGE: Usage = Usage { prompt_tokens: 11, completion_tokens: 7 };

/// The text of a stream and how it ended, or what broke it off.
fn heard(pieces: Vec<Result<Said, ModelError>>) -> Result<(String, Option<Ending>), ModelError> {
    let (mut text, mut ending) = (String::new(), None);
    for piece in pieces {
        match piece? {
            Said::Text(piece) => text.push_str(&piece),
            Said::Ending(last) => assert_eq!(ending.replace(last), None, "one ending"),
        }
    }
    Ok((text, ending))
}

#[tokio::test]
async fn a_stream_tells_what_it_cost_where_the_server_says_so() {
    let fake = FakeOpenAi::start().await;
    let model = language_model(&fake);
    fake.script([Behaviour::Well, Behaviour::NoUsage, Behaviour::CutShort]);
    for expected in [
        Ending { usage: Some(USAGE), cut: false },
        Ending { usage: None, cut: false },
        Ending { usage: Some(USAGE), cut: true },
    ] {
        let stream = model.stream(&prompt(PATIENT)).await.expect("a stream");
        assert_eq!(heard(stream.collect().await), Ok((DEFAULT_TEXT.to_owned(), Some(expected))));
    }
    assert!(fake.complaints().is_empty(), "{:?}", fake.complaints());
}

#[tokio::test]
async fn a_server_that_refuses_to_tell_what_a_stream_costs_is_asked_without_it_from_then_on() {
    let fake = FakeOpenAi::start().await;
    let model = language_model(&fake);
    fake.script([refuse(400, None)]);
    for _ in 0..2 {
        let stream = model.stream(&prompt(PATIENT)).await.expect("a stream");
        assert_eq!(heard(stream.collect().await), Ok((DEFAULT_TEXT.to_owned(), Some(Ending::default()))));
    }
    let asked: Vec<bool> = fake.seen().iter().map(|seen| !seen.body["stream_options"].is_null()).collect();
    assert_eq!(asked, [true, false, false]);
}

#[tokio::test]
async fn a_stream_of_garbage_is_given_up() {
    for bytes in [&b"data: {\"choices\": \xff}\n\n"[..], b"data: {]\n\n", b"data: [1]\n\n"] {
        let fake = FakeOpenAi::start().await;
        fake.script([Behaviour::Garbage(bytes)]);
        let pieces: Vec<_> = language_model(&fake).stream(&prompt(PATIENT)).await.expect("a stream").collect().await;
        assert!(matches!(&pieces[..], [Err(ModelError::GiveUp(_))]), "{pieces:?}");
    }
}

#[tokio::test]
async fn a_model_that_thinks_is_asked_in_its_own_way() {
    let fake = FakeOpenAi::start().await;
    let model = OpenAiLanguageModel::new(&server(&fake.url(), "gpt-5-mini")).expect("a language model");
    model.complete(&prompt(PATIENT)).await.expect("a completion");
    assert_eq!(fake.seen()[0].body["max_completion_tokens"], 100);
}

#[tokio::test]
async fn a_stream_brings_the_text_in_pieces() {
    for behaviour in [Behaviour::Well, Behaviour::NoMarkOfTheEnd, Behaviour::SlowStream(Duration::from_millis(5))] {
        let fake = FakeOpenAi::start().await;
        fake.script([behaviour.clone()]);
        fake.say("Grüße aus 東京 🙂 und viel Erfolg!");
        let stream = language_model(&fake).stream(&prompt(PATIENT)).await.expect("a stream");
        let pieces: Vec<_> = stream.collect().await;
        assert!(pieces.len() > 3, "{pieces:?}");
        let text = heard(pieces).map(|(text, _)| text);
        assert_eq!(text.as_deref(), Ok("Grüße aus 東京 🙂 und viel Erfolg!"), "{behaviour:?}");
    }
}

#[tokio::test]
async fn a_stream_is_opened_again_but_not_begun_again() {
    let fake = FakeOpenAi::start().await;
    fake.script([refuse(503, Some("0")), Behaviour::Cut]);
    let mut stream = language_model(&fake).stream(&prompt(PATIENT)).await.expect("a stream");
    assert_eq!(stream.next().await, Some(Ok(Said::Text(DEFAULT_TEXT[..5].to_owned()))));
    assert!(matches!(stream.next().await, Some(Err(ModelError::Retry(_)))));
    assert!(stream.next().await.is_none());
    assert_eq!(fake.seen().len(), 2);
}

#[tokio::test]
async fn an_error_in_a_stream_ends_it() {
    let fake = FakeOpenAi::start().await;
    fake.script([Behaviour::ErrorInStream]);
    let pieces: Vec<_> = language_model(&fake).stream(&prompt(PATIENT)).await.expect("a stream").collect().await;
    assert!(
        matches!(&pieces[..], [Ok(_), Err(ModelError::Retry(detail))] if detail.contains("overloaded")),
        "{pieces:?}"
    );
}

#[tokio::test]
async fn a_stream_without_end_is_cut_at_its_bound() {
    let fake = FakeOpenAi::start().await;
    fake.script([Behaviour::EndlessStream]);
    let stream = language_model(&fake).stream(&prompt(PATIENT)).await.expect("a stream");
    let pieces: Vec<_> = stream.collect().await;
    let (last, text) = pieces.split_last().expect("pieces");
    assert!(matches!(last, Err(ModelError::GiveUp(_))), "{last:?}");
    let (text, _) = heard(text.to_vec()).expect("text");
    assert!(text.len() <= 1024 * 1024, "{}", text.len());
}

#[tokio::test]
async fn a_stream_keeps_to_the_deadline() {
    let fake = FakeOpenAi::start().await;
    fake.script([Behaviour::SlowStream(Duration::from_millis(200))]);
    let start = Instant::now();
    let stream = language_model(&fake).stream(&prompt(Duration::from_millis(700))).await.expect("a stream");
    let pieces: Vec<_> = stream.collect().await;
    assert!(matches!(pieces.last(), Some(Err(ModelError::Timeout(_)))), "{pieces:?}");
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn dropping_a_stream_ends_the_request() {
    let fake = FakeOpenAi::start().await;
    fake.script([Behaviour::EndlessStream]);
    let mut stream = language_model(&fake).stream(&prompt(PATIENT)).await.expect("a stream");
    assert!(matches!(stream.next().await, Some(Ok(_))));
    assert_eq!(fake.open_streams(), 1);
    drop(stream);
    let gone = async {
        while fake.open_streams() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("the server noticed");
}
