//! `almanac eval` as users and their CI run it: the real program against a real server.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, SqliteConnection};

use crate::{
    databases::sales,
    support::{TestApp, scratch_dir},
};

const PATIENCE: Duration = Duration::from_secs(60);

fn evaluate(app: &TestApp, path: &Path, arguments: &[&str]) -> tokio::process::Command {
    evaluate_a(app, "retrieval", path, arguments)
}

fn evaluate_a(app: &TestApp, subject: &str, path: &Path, arguments: &[&str]) -> tokio::process::Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_almanac"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ALMANAC_")) {
        command.env_remove(name);
    }
    command.env("ALMANAC_URL", &app.url).env("ALMANAC_API_KEY", &app.key);
    command.args(["eval", subject]).arg(path).args(arguments);
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    command
}

async fn evaluated(app: &TestApp, path: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = evaluate(app, path, arguments).output().await.unwrap();
    (output.status.code(), said(&output))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The JSON that a run prints.
async fn json_of(app: &TestApp, path: &Path, arguments: &[&str]) -> Value {
    let output = evaluate(app, path, &[arguments, &["--json", "-"]].concat()).output().await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn knowledge_bases(app: &TestApp) -> Vec<Value> {
    app.get("/v1/knowledge-bases").await.expect(StatusCode::OK)["data"].as_array().unwrap().clone()
}

const SUBJECTS: [&str; 6] = ["anemometer", "barometer", "hygrometer", "pyranometer", "rain gauge", "thermometer"];

/// Six documents and a question for each; besides, an empty document, a copy, and a judged question without text.
fn collection() -> PathBuf {
    let folder = scratch_dir();
    let (mut corpus, mut queries, mut judgements) =
        (String::new(), String::new(), "query-id\tcorpus-id\tscore\n".to_owned());
    for (number, subject) in SUBJECTS.iter().enumerate() {
        let text = format!("The {subject} of the station is calibrated once in {} months.", number + 2);
        corpus += &format!("{}\n", json!({ "_id": format!("d{number}"), "title": subject, "text": text }));
        let question = format!("How often is the {subject} calibrated?");
        queries += &format!("{}\n", json!({ "_id": format!("q{number}"), "text": question }));
        judgements += &format!("q{number}\td{number}\t1\n");
    }
    let copied = "The anemometer of the station is calibrated once in 2 months.";
    corpus += &format!("{}\n", json!({ "_id": "copy", "text": copied }));
    corpus += &format!("{}\n", json!({ "_id": "empty", "title": "", "text": " " }));
    judgements += "q0\tcopy\t1\nq1\tempty\t1\nlost\td1\t1\n";
    fs::create_dir_all(folder.join("qrels")).unwrap();
    for (name, content) in [("corpus.jsonl", corpus), ("queries.jsonl", queries), ("qrels/test.tsv", judgements)] {
        fs::write(folder.join(name), content).unwrap();
    }
    folder
}

#[tokio::test]
async fn a_collection_is_uploaded_asked_in_every_mode_and_removed_again() {
    let app = TestApp::start().await;
    let report = json_of(&app, &collection(), &[]).await;
    assert_eq!(report["format"], "almanac.eval.retrieval/1");
    let expected = json!({
        "questions": 6, "judgements": 7, "questions_without_text": 1,
        "documents_indexed": 6, "documents_failed": 0, "documents_without_text": 1,
        "documents_same_as_another": 1, "documents_missing": 0,
    });
    assert_eq!(report["counts"], expected);
    for mode in ["hybrid", "vector", "text"] {
        let measured = &report["modes"][mode];
        assert_eq!(measured["degraded"], 0, "{measured:#}");
        assert!(measured["latency_ms"]["p50"].as_f64().unwrap() > 0.0, "{measured:#}");
        let ndcg = &measured["metrics"]["ndcg@10"];
        let [low, mean, high] = ["low", "mean", "high"].map(|field| ndcg[field].as_f64().unwrap());
        assert!(0.5 < mean && low <= mean && mean <= high && high <= 1.0, "{mode}: {ndcg}");
    }
    // q1 has a second relevant document, which nobody can find: 1 / (1 + 1/log2(3)) at best.
    assert_eq!(report["modes"]["text"]["metrics"]["mrr@10"]["mean"], 1.0, "{report:#}");
    assert_eq!(report["modes"]["text"]["metrics"]["recall@10"]["mean"].as_f64().unwrap(), 5.5 / 6.0);
    let q1 = &report["questions"][1];
    assert!((q1["modes"]["text"]["ndcg@10"].as_f64().unwrap() - 0.613_147).abs() < 1e-6, "{q1:#}");
    assert_eq!(q1["modes"]["text"]["found"][0]["title"], "barometer");
    assert_eq!(q1["expected"][1]["document_id"], Value::Null);
    assert_eq!(report["questions"][0]["expected"].as_array().unwrap().len(), 1, "the copy is the document it copies");
    assert!(knowledge_bases(&app).await.is_empty(), "what was made is removed");
}

#[tokio::test]
async fn a_kept_knowledge_base_gives_the_same_numbers_again() {
    let app = TestApp::start().await;
    let folder = collection();
    let first = json_of(&app, &folder, &["--keep", "--mode", "text,hybrid"]).await;
    let kept = knowledge_bases(&app).await;
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0]["id"], first["settings"]["knowledge_base"]["id"]);
    let again = json_of(&app, &folder, &["-k", kept[0]["name"].as_str().unwrap(), "--mode", "text,hybrid"]).await;
    for mode in ["text", "hybrid"] {
        assert_eq!(first["modes"][mode]["metrics"], again["modes"][mode]["metrics"], "{mode}");
    }
    assert_eq!(first["differences"], again["differences"]);
    assert_eq!(knowledge_bases(&app).await.len(), 1, "one that was there stays");
}

#[tokio::test]
async fn a_csv_is_asked_of_a_knowledge_base_of_ones_own_and_a_missed_floor_fails() {
    let app = TestApp::start().await;
    let base = app.knowledge_base().await;
    for (external_id, title, content) in [
        ("/handbook/warranty.md", "Warranty", "The warranty of a station lasts five years."),
        ("/handbook/returns.md", "Returns", "Goods are returned within thirty days."),
        ("/handbook/freight.md", "Freight", "The customer pays the freight."),
    ] {
        app.index(&base, json!({ "external_id": external_id, "title": title, "content": content })).await;
    }
    let csv = scratch_dir().join("judged.csv");
    let rows = "question,expected\nHow long is the warranty?,warranty.md\nWho pays the freight?,Freight\n\
                What lasts five years?,/handbook/returns.md\n";
    fs::write(&csv, rows).unwrap();
    let text = |more: &[&str]| {
        [&["-k", &base, "--mode", "text"], more].concat().iter().map(|&it| it.to_owned()).collect::<Vec<_>>()
    };
    let run = async |more: &[&str]| {
        let arguments = text(more);
        evaluated(&app, &csv, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
    };

    let (code, said) = run(&["--floor", "text:ndcg@10=0.6", "--worst", "1"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("0.667"), "two of three questions: {said}");
    assert!(said.contains("0.000  line 4  What lasts five years?"), "{said}");
    assert!(said.contains("expected  Returns: not found") && said.contains("found     1. Warranty"), "{said}");

    let (code, said) = run(&["--floor", "text:ndcg@10=0.9", "--floor", "text:recall@100=0.5"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("missed  text:ndcg@10=0.9: it is 0.6667, 0.2333 too low"), "{said}");
    assert!(!said.contains("recall@100=0.5"), "a floor that is met is not spoken of: {said}");

    fs::write(&csv, format!("{rows}Where is nothing?,nothing.md\n")).unwrap();
    let (code, said) = run(&[]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("judged.csv: expected documents are missing: 1.")
            && said.contains("line 5: there is no document nothing.md"),
        "{said}"
    );
    let (code, said) = run(&["--allow-missing"]).await;
    assert!(code == Some(0) && said.contains("0.500"), "{said}");
}

#[tokio::test]
async fn wrong_usage_is_told_from_a_missed_floor() {
    let app = TestApp::start().await;
    let csv = scratch_dir().join("judged.csv");
    fs::write(&csv, "question,expected\nWhy?,because.md\n").unwrap();
    for (arguments, reason) in [
        (&[][..], "name the knowledge base to ask with -k"),
        (&["-k", "handbook", "--floor", "recall@50=0.5"], "recall@50 is not measured"),
        (&["-k", "handbook", "--mode", "text", "--floor", "ndcg@10=0.5"], "hybrid is not measured"),
        (&["-k", "handbook", "--floor", "ndcg@10=45"], "the value is from 0 to 1"),
        (&["-k", "handbook", "--apply"], "--tune"),
        (&["-k", "handbook", "--keep"], "cannot be used with"),
        (&["-k", "handbook", "--k", "101"], "101 is not in 1..=100"),
    ] {
        let (code, said) = evaluated(&app, &csv, arguments).await;
        assert!(code == Some(2) && said.contains(reason), "{arguments:?}: {code:?} {said}");
    }
    let (code, said) = evaluated(&app, &collection(), &["--tune", "--apply"]).await;
    assert!(code == Some(2) && said.contains("--keep"), "{said}");
    let (code, said) = evaluated(&app, &csv, &["-k", "handbook"]).await;
    assert!(code == Some(1) && said.contains("there is no knowledge base called handbook"), "{said}");
}

#[tokio::test]
async fn nothing_is_uploaded_of_a_collection_whose_judgements_name_other_documents() {
    let app = TestApp::start().await;
    let folder = collection();
    fs::write(folder.join("qrels/test.tsv"), "q1\td1\t1\nq2\telsewhere\t1\n").unwrap();
    let (code, said) = evaluated(&app, &folder, &["--keep"]).await;
    assert!(code == Some(1) && said.contains("line 2: there is no document elsewhere"), "{said}");
    assert!(knowledge_bases(&app).await.is_empty());
}

#[tokio::test]
async fn an_interrupted_evaluation_removes_what_it_made() {
    let app = TestApp::start().await;
    let folder = collection();
    let mut corpus = fs::read_to_string(folder.join("corpus.jsonl")).unwrap();
    for number in 0..300 {
        let text = format!("Station {number} measures wind and rain. ").repeat(20);
        corpus += &format!("{}\n", json!({ "_id": format!("more {number}"), "text": text }));
    }
    fs::write(folder.join("corpus.jsonl"), corpus).unwrap();
    let child = evaluate(&app, &folder, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + PATIENCE;
    while knowledge_bases(&app).await.is_empty() {
        assert!(Instant::now() < end, "nothing is made");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(Command::new("kill").args(["-INT", &child.id().unwrap().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(knowledge_bases(&app).await.is_empty(), "{}", said(&output));
}

/// Documents that differ by a code only, and questions for one code each: words find it, meaning hardly.
fn codes() -> PathBuf {
    let folder = scratch_dir();
    let (mut corpus, mut queries, mut judgements) = (String::new(), String::new(), String::new());
    for number in 0..24 {
        // Numbers that differ in their last digits only have nearly the same meaning.
        let code = 44_007_000 + number * 3;
        let text =
            format!("Maintenance log. Device {code} was inspected and found in order. No further action is needed.");
        corpus += &format!("{}\n", json!({ "_id": format!("d{number}"), "text": text }));
        queries += &format!("{}\n", json!({ "_id": format!("q{number}"), "text": format!("inspection of {code}") }));
        judgements += &format!("q{number}\td{number}\t1\n");
    }
    for (name, content) in [("corpus.jsonl", corpus), ("queries.jsonl", queries), ("qrels.tsv", judgements)] {
        fs::write(folder.join(name), content).unwrap();
    }
    folder
}

#[tokio::test]
async fn a_fitted_weight_is_written_only_when_asked_for() {
    let app = TestApp::start().await;
    let folder = codes();
    json_of(&app, &folder, &["--keep", "--mode", "text"]).await;
    let base = format!("/v1/knowledge-bases/{}", knowledge_bases(&app).await[0]["id"].as_str().unwrap());
    let weight = async || app.get(&base).await.expect(StatusCode::OK)["fusion_weight"].as_f64().unwrap();
    let id = base.rsplit('/').next().unwrap();
    app.patch(&base, json!({ "fusion_weight": 1 })).await.expect(StatusCode::OK);

    let report = json_of(&app, &folder, &["-k", id, "--tune"]).await;
    let tuned = &report["tune"];
    assert_eq!(tuned["curve"].as_array().unwrap().len(), 21);
    assert_eq!(tuned["present"]["weight"], 1.0);
    assert_eq!(tuned["present"]["ndcg@10"], report["modes"]["hybrid"]["metrics"]["ndcg@10"]["mean"], "{tuned:#}");
    let best = tuned["best"]["weight"].as_f64().unwrap();
    assert!(best < 1.0, "{tuned:#}");
    assert!(tuned["cross_validated_gain"]["low"].as_f64().unwrap() > 0.0, "{tuned:#}");
    assert_eq!((&tuned["applied"], weight().await), (&json!(false), 1.0), "nothing is changed unasked");

    let (code, said) = evaluated(&app, &folder, &["-k", id, "--tune", "--apply"]).await;
    assert!(code == Some(0) && said.contains("on questions it was not fitted to") && said.contains(": real"), "{said}");
    assert!((weight().await - best).abs() < 1e-6, "{said}");

    let few = scratch_dir().join("few.csv");
    fs::write(&few, "question,expected\nWhich device?,d1\n").unwrap();
    let (code, said) = evaluated(&app, &few, &["-k", id, "--tune"]).await;
    assert!(code == Some(1) && said.contains("10 questions or more"), "{said}");
}

async fn databases(app: &TestApp) -> Vec<Value> {
    app.get("/v1/databases").await.expect(StatusCode::OK)["data"].as_array().unwrap().clone()
}

/// The JSON of a run over questions to databases, and whether it succeeded.
async fn sql_json(app: &TestApp, path: &Path, arguments: &[&str]) -> (bool, Value) {
    let output = evaluate_a(app, "sql", path, &[arguments, &["--json", "-"]].concat()).output().await.unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    (output.status.success(), json)
}

#[tokio::test]
async fn questions_to_a_database_are_measured_by_the_rows_that_known_sql_gives() {
    let app = TestApp::start().await;
    let id = sales(&app).await;
    let file = scratch_dir().join("questions.csv");
    let rows = format!(
        "database,question,sql\n\
         {id},How many customers are there?,select count(*) from customers\n\
         {id},How many customers are there?,select count(*) from orders\n\
         {id},What colour is the sky over Saturn tonight?,select 1\n\
         {id},List the names of all product categories.,select name from categories order by id desc\n"
    );
    fs::write(&file, rows).unwrap();
    let (well, report) = sql_json(&app, &file, &[]).await;
    assert!(well, "{report:#}");
    assert_eq!(report["format"], "almanac.eval.sql/1");
    assert!((report["settings"]["min_confidence"].as_f64().unwrap() - 0.76).abs() < 1e-6, "{report:#}");
    let right: Vec<&Value> =
        report["questions"].as_array().unwrap().iter().map(|question| &question["right"]).collect();
    assert_eq!(right[..2], [&json!(true), &json!(false)], "{report:#}");
    assert_eq!(right[3], false, "the names have another order: {report:#}");
    assert_eq!(report["questions"][0]["generator"], "builtin");
    assert_eq!(report["questions"][0]["families"], json!(["aggregate"]));
    assert_eq!(report["counts"]["scored"], 4);
    assert!(report["generation_ms"]["p50"].as_f64().unwrap() > 0.0, "{report:#}");

    let output = evaluate_a(&app, "sql", &file, &["--floor", "accuracy=0.9", "--worst", "3"]).output().await.unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("missed  accuracy=0.9") && text.contains("expected  select count(*) from orders"), "{text}");
}

#[tokio::test]
async fn an_expected_statement_that_does_not_run_fails_unless_it_may() {
    let app = TestApp::start().await;
    let id = sales(&app).await;
    let file = scratch_dir().join("questions.csv");
    let rows = format!(
        "database,question,sql\n{id},How many customers are there?,select count(*) from customers\n\
         {id},How many barns are there?,select count(*) from barns\n"
    );
    fs::write(&file, rows).unwrap();
    let (well, report) = sql_json(&app, &file, &[]).await;
    assert!(!well && report["counts"]["broken"] == 1, "{report:#}");
    assert!(report["questions"][1]["broken"].as_str().unwrap().contains("barns"), "{report:#}");
    let (well, report) = sql_json(&app, &file, &["--allow-broken"]).await;
    assert!(well && report["counts"]["scored"] == 1, "{report:#}");
    fs::write(&file, "database,question,sql\nnowhere,How many?,select 1\n").unwrap();
    let output = evaluate_a(&app, "sql", &file, &[]).output().await.unwrap();
    assert!(said(&output).contains("the server knows no database called nowhere"), "{}", said(&output));
}

#[tokio::test]
async fn spider_databases_are_connected_asked_and_removed_again() {
    let app = TestApp::start().await;
    let folder = app.data_dir.join("databases/spider");
    fs::create_dir_all(folder.join("database/farms")).unwrap();
    let url = format!("sqlite:{}?mode=rwc", folder.join("database/farms/farms.sqlite").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    connection
        .execute("create table farm (id integer primary key, name text); insert into farm (name) values ('a'), ('b')")
        .await
        .unwrap();
    connection.close().await.unwrap();
    let questions = folder.join("questions.json");
    let question = |text: &str, query: &str| json!({ "db_id": "farms", "question": text, "query": query });
    let all = json!([question("How many farms are there?", "SELECT count(*) FROM farm;")]);
    fs::write(&questions, all.to_string()).unwrap();

    let (well, report) = sql_json(&app, &questions, &[]).await;
    assert!(well && report["metrics"]["accuracy"]["mean"] == 1.0, "{report:#}");
    assert!(databases(&app).await.is_empty(), "what was connected is removed");
    let (well, _) = sql_json(&app, &questions, &["--keep", "--only", "farms", "--sample", "1"]).await;
    let kept = databases(&app).await;
    assert!(well && kept.len() == 1 && kept[0]["name"] == "farms", "{kept:?}");
    let (well, _) = sql_json(&app, &questions, &[]).await;
    assert!(well && databases(&app).await.len() == 1, "one that was there stays");

    let elsewhere = scratch_dir();
    fs::create_dir_all(elsewhere.join("database/cats")).unwrap();
    fs::copy(folder.join("database/farms/farms.sqlite"), elsewhere.join("database/cats/cats.sqlite")).unwrap();
    let questions = elsewhere.join("questions.json");
    fs::write(&questions, json!([{ "db_id": "cats", "question": "How many?", "query": "select 1" }]).to_string())
        .unwrap();
    let output = evaluate_a(&app, "sql", &questions, &[]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("ALMANAC_SQLITE_DIRS="), "{}", said(&output));
    assert_eq!(databases(&app).await.len(), 1, "what could not be read is removed too");
}
