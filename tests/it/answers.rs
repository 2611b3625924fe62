//! Answers through the API: extractive ones, and those of a language model that is not to be trusted.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    fake_openai::{Behaviour, FakeOpenAi, KEY},
    search::handbook,
    support::TestApp,
};

#[tokio::test]
async fn an_answer_without_a_model_is_cited_verbatim_or_says_that_there_is_none() {
    let app = TestApp::start().await;
    handbook(&app).await;
    let answer =
        app.post("/v1/answers", json!({"question": "What is an active customer?"})).await.expect(StatusCode::OK);
    assert_eq!((&answer["mode"], &answer["model"]), (&json!("extractive"), &Value::Null));
    assert!(answer["answer"].as_str().unwrap().contains("[1]"), "{answer:#}");
    assert_citations_are_verbatim(&app, &answer).await;
    let nothing = app.post("/v1/answers", json!({"question": "What is the airspeed of an unladen swallow?"})).await;
    let nothing = nothing.expect(StatusCode::OK);
    assert_eq!((&nothing["answer"], &nothing["citations"]), (&Value::Null, &json!([])), "{nothing:#}");
}

async fn assert_citations_are_verbatim(app: &TestApp, answer: &Value) {
    let citations = answer["citations"].as_array().unwrap();
    assert!(!citations.is_empty(), "{answer:#}");
    for citation in citations {
        let text = app.get(&format!("/v1/documents/{}/text", citation["document_id"].as_str().unwrap())).await.text;
        let offset = |name: &str| usize::try_from(citation[name].as_u64().unwrap()).unwrap();
        let quote: String = text.chars().skip(offset("start")).take(offset("end") - offset("start")).collect();
        assert_eq!(citation["quote"], quote, "{citation:#}");
        assert!(!quote.is_empty());
    }
}

async fn with_model(fake: &FakeOpenAi) -> TestApp {
    TestApp::with(&[("llm_url", &fake.url()), ("llm_key", KEY), ("llm_model", "test-chat")]).await
}

#[tokio::test]
async fn a_model_writes_the_answer_and_what_it_cites_is_checked() {
    let fake = FakeOpenAi::start().await;
    let app = with_model(&fake).await;
    handbook(&app).await;
    fake.say("The warranty of the Gannet lasts 60 months [1]. It never ends [99].");
    let question = json!({"question": "How long is the warranty of the Gannet Offshore Station?"});
    let answer = app.post("/v1/answers", question.clone()).await.expect(StatusCode::OK);
    assert_eq!((&answer["mode"], &answer["model"]), (&json!("generated"), &json!("test-chat")), "{answer:#}");
    assert!(!answer["answer"].as_str().unwrap().contains("[99]"), "a citation of nothing is taken out: {answer:#}");
    assert_citations_are_verbatim(&app, &answer).await;
    let prompt = fake.seen().last().unwrap().body["messages"].to_string();
    assert!(prompt.contains("60 months") && prompt.contains("<passage"), "{prompt}");
    let asked = fake.seen().len();
    app.post("/v1/answers", json!({"question": "What is the airspeed of an unladen swallow?"}))
        .await
        .expect(StatusCode::OK);
    assert_eq!(fake.seen().len(), asked, "nothing relevant: the model is not asked");

    fake.script(vec![Behaviour::Refuse { status: 401, retry_after: None, code: "invalid_api_key" }]);
    let fallen_back = app.post("/v1/answers", question).await.expect(StatusCode::OK);
    assert_eq!(fallen_back["mode"], "extractive");
    assert!(fallen_back["degraded"][0].as_str().unwrap().starts_with("language_model"), "{fallen_back:#}");
    assert_eq!(fake.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn an_answer_streams_in_the_order_of_the_contract() {
    let fake = FakeOpenAi::start().await;
    let app = with_model(&fake).await;
    handbook(&app).await;
    let body = json!({"question": "How long is the warranty of the Gannet Offshore Station?", "stream": true});
    let answer = app.post("/v1/answers", body).await;
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    let mut events: Vec<&str> = answer.text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    events.dedup();
    assert_eq!(events, ["retrieval", "delta", "citations", "done"], "{}", answer.text);
}
