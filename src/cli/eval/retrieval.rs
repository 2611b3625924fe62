//! `almanac eval retrieval`: asks a running server judged questions, and says how well it finds the documents that answer
//! them.
//!
//! It measures what a client gets: everything goes over HTTP. A knowledge base that it makes it removes again, whatever
//! happens. What it prints is reproducible, but for the times.

mod ask;
mod collection;
mod corpus;
mod expected;
mod floor;
mod knowledge_base;
mod metrics;
mod report;
mod tune;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, bail, ensure};
use ask::{Manner, Mode};
use collection::{Collection, Source};
use corpus::Survey;
use expected::{Documents, Judged, Missing, resolve};
use floor::Floor;
use knowledge_base::KnowledgeBase;
pub use metrics::percentile;
use metrics::{CHUNKS, Metric};
use report::{Counts, Measured, Report, estimate};
use tune::Tuned;

use super::{bootstrap::Resampling, progress::Progress, told};
use crate::cli::client::Client;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A folder in BEIR form (corpus.jsonl, queries.jsonl, qrels/test.tsv), or a CSV file of question,expected[,grade]
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Ask this knowledge base (name or id), and upload nothing
    #[arg(long, short, value_name = "NAME")]
    knowledge_base: Option<String>,
    /// Keep the knowledge base that was made
    #[arg(long, conflicts_with = "knowledge_base")]
    keep: bool,
    /// Which to measure
    #[arg(long, value_name = "MODE", value_delimiter = ',', default_values_t = [Mode::Hybrid, Mode::Vector, Mode::Text])]
    mode: Vec<Mode>,
    /// How deep recall looks
    #[arg(long, value_name = "K", value_delimiter = ',', default_values_t = [10, 100],
          value_parser = clap::value_parser!(u16).range(1..=i64::from(CHUNKS)))]
    k: Vec<u16>,
    /// Fail (exit code 1) below this: [MODE:]METRIC=VALUE; may be given again
    #[arg(long, value_name = "FLOOR")]
    floor: Vec<Floor>,
    /// List so many of the questions that lose most
    #[arg(long, value_name = "N", default_value_t = 0)]
    worst: usize,
    /// Write everything as JSON, each question by itself too; - is standard output, and the tables go to standard error
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Find the weight of vectors against words that suits the questions best
    #[arg(long)]
    tune: bool,
    /// Give the knowledge base that weight
    #[arg(long, requires = "tune")]
    apply: bool,
    /// Go on when expected documents are missing; they count as not found
    #[arg(long)]
    allow_missing: bool,
    /// Uploads at a time, and searches while a weight is fitted
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// Searches at a time while modes are measured; with more than one, the times are those under load
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    searches: u16,
    /// The longest wait until uploaded documents are searchable, in minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    wait: u32,
    /// How often the bootstrap draws the questions again
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u16).range(2_000..=10_000))]
    resamples: u16,
    /// Another seed gives other draws
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

const EXAMPLES: &str = "\
Examples:
  almanac eval retrieval collections/cranfield
      makes a knowledge base of the corpus, asks every judged question in three modes, and removes it again
  almanac eval retrieval judged.csv -k handbook --worst 10
      asks a knowledge base of yours, and shows the ten questions that lose most, with what was expected and found
  almanac eval retrieval judged.csv -k handbook --mode hybrid --floor ndcg@10=0.45 --floor recall@10=0.8 --json eval.json
      in CI: exit code 1 below a floor
  almanac eval retrieval judged.csv -k handbook --tune
      says which fusion weight suits the questions, and whether the gain is more than chance; --apply writes it

judged.csv has a header and a row for each document that answers a question:
  question,expected,grade
  How long is the warranty?,warranty.md,2
  How long is the warranty?,Returns and warranty policy,1
`expected` is a document's external id, id, title or file name. `grade` may be left out: it is 1.

Measures: ndcg@10, mrr@10 and recall@K, means over the questions with 95 % confidence intervals. A document ranks where \
its best chunk ranks; 100 chunks are asked for.

Exit codes: 0; 1 below a floor, when a document failed, or when something went wrong; 2 for wrong usage; 130 after Ctrl-C.";

/// By convention: of wrong usage, and of a program that SIGINT ended.
const USAGE: u8 = 2;
const INTERRUPTED: u8 = 130;

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let source = Source::find(&arguments.path)?;
    if let Err(wrong) = arguments.check(&source) {
        eprintln!("error: {wrong}\n\nFor more information, try '--help'.");
        return Ok(ExitCode::from(USAGE));
    }
    let evaluation = Evaluation { client: Client::find()?, arguments, source };
    let collection = evaluation.source.read()?;
    match &evaluation.arguments.knowledge_base {
        Some(name) => {
            let base = KnowledgeBase::find(&evaluation.client, name).await?;
            evaluation.ask_what_is_there(base, collection).await
        }
        None => evaluation.ask_what_is_made(collection).await,
    }
}

struct Evaluation {
    client: Client,
    arguments: Arguments,
    source: Source,
}

impl Evaluation {
    async fn ask_what_is_there(&self, base: KnowledgeBase, collection: Collection) -> anyhow::Result<ExitCode> {
        let survey = self.survey()?;
        let counts = base.document_counts(&self.client).await?;
        let waiting = counts.all() - counts.ended();
        if waiting > 0 {
            eprintln!("{waiting} documents of {} are not searchable yet", base.name);
        }
        // What failed there before is no failure of this run.
        let counts = Counts { indexed: counts.indexed, ..Counts::default() };
        let report = self.evaluate(base, collection, survey.as_ref(), counts).await?;
        self.tell(&report)
    }

    /// Removes what it made, however the evaluation ends.
    async fn ask_what_is_made(&self, collection: Collection) -> anyhow::Result<ExitCode> {
        let survey = self.survey()?.with_context(|| {
            format!("{} has no corpus.jsonl: name a knowledge base (-k)", self.arguments.path.display())
        })?;
        Missing::in_corpus(&collection, &survey).check(&self.source, self.arguments.allow_missing)?;
        let base = KnowledgeBase::make(&self.client, &self.source.name()).await?;
        let made = base.clone();
        let ended = tokio::select! {
            report = self.upload_and_evaluate(base, collection, &survey) => Some(report),
            _ = tokio::signal::ctrl_c() => None,
        };
        if self.arguments.keep {
            eprintln!("The knowledge base is kept: {} ({})", made.name, made.id);
        } else {
            let removed = made.remove(&self.client).await;
            removed.unwrap_or_else(|error| eprintln!("almanac: {error:#}"));
        }
        match ended {
            Some(report) => self.tell(&report?),
            None => Ok(ExitCode::from(INTERRUPTED)),
        }
    }

    async fn upload_and_evaluate(
        &self,
        base: KnowledgeBase,
        collection: Collection,
        survey: &Survey,
    ) -> anyhow::Result<Report> {
        let (client, arguments) = (&self.client, &self.arguments);
        corpus::upload(client, &base, &arguments.path, survey, usize::from(arguments.concurrency)).await?;
        corpus::wait(client, &base, Duration::from_secs(60) * arguments.wait).await?;
        let ended = base.document_counts(client).await?;
        let counts = Counts { indexed: ended.indexed, failed: ended.failed, ..Counts::default() };
        self.evaluate(base, collection, Some(survey), counts).await
    }

    /// Asks every question in every mode, and fits the weight if that is wanted.
    async fn evaluate(
        &self,
        base: KnowledgeBase,
        collection: Collection,
        survey: Option<&Survey>,
        counts: Counts,
    ) -> anyhow::Result<Report> {
        let questions_without_text = collection.without_text;
        let documents = Documents::of(&self.client, &base).await?;
        let (questions, missing) = resolve(collection, &self.source, survey, &documents);
        missing.check(&self.source, self.arguments.allow_missing)?;
        let counts = Counts {
            questions_without_text,
            missing_documents: missing.0.len(),
            without_text: survey.map_or(0, |survey| survey.without_text),
            same_as_another: survey.map_or(0, |survey| survey.same_as_another),
            ..counts
        };
        let metrics = self.arguments.metrics();
        let mut modes = self.measure(&base, &questions, &metrics).await?;
        let differences = estimate(&mut modes, metrics.len(), self.resampling());
        let tuned = if self.arguments.tune { Some(self.tune(&base, &questions).await?) } else { None };
        Ok(Report {
            collection: self.source.name(),
            kept: self.arguments.keep || self.arguments.knowledge_base.is_some(),
            knowledge_base: base,
            resampling: self.resampling(),
            metrics,
            counts,
            questions,
            modes,
            differences,
            floors: self.arguments.floor.clone(),
            tuned,
        })
    }

    async fn measure(
        &self,
        base: &KnowledgeBase,
        questions: &[Judged],
        metrics: &[Metric],
    ) -> anyhow::Result<Vec<Measured>> {
        let mut measured = Vec::new();
        for mode in self.arguments.modes() {
            let progress = Progress::of(&format!("asked, {mode}"), questions.len());
            let manner = Manner { mode, fusion_weight: None, at_a_time: usize::from(self.arguments.searches) };
            let answers = ask::all(&self.client, &base.id, questions, manner, &progress).await?;
            measured.push(Measured::new(mode, answers, questions, metrics));
        }
        Ok(measured)
    }

    async fn tune(&self, base: &KnowledgeBase, questions: &[Judged]) -> anyhow::Result<Tuned> {
        let (least, number) = (tune::MIN_QUESTIONS, questions.len());
        ensure!(number >= least, "a weight is fitted to {least} questions or more, here are {number}");
        let at_a_time = usize::from(self.arguments.concurrency);
        let mut tuned = tune::fit(&self.client, base, questions, at_a_time, self.resampling()).await?;
        if self.arguments.apply && tuned.is_change() {
            base.set_fusion_weight(&self.client, tuned.best.weight).await?;
            tuned.applied = true;
        }
        Ok(tuned)
    }

    fn tell(&self, report: &Report) -> anyhow::Result<ExitCode> {
        let text = report.text(self.arguments.worst);
        told::tell(&text, || report.json(), self.arguments.json.as_deref(), report.is_failure())
    }

    fn survey(&self) -> anyhow::Result<Option<Survey>> {
        match &self.source {
            Source::Beir { folder, .. } => Survey::of(folder),
            Source::Csv(_) => Ok(None),
        }
    }

    fn resampling(&self) -> Resampling {
        Resampling { times: usize::from(self.arguments.resamples), seed: self.arguments.seed }
    }
}

impl Arguments {
    /// What the parser cannot see: what fits together.
    fn check(&self, source: &Source) -> anyhow::Result<()> {
        let existing = self.knowledge_base.is_some();
        if matches!(source, Source::Csv(_)) && !existing {
            bail!("a CSV file has questions only: name the knowledge base to ask with -k");
        }
        if self.apply && !existing && !self.keep {
            bail!("--apply changes a knowledge base that stays: name one with -k, or --keep the one that is made");
        }
        let (metrics, modes) = (self.metrics(), self.modes());
        for floor in &self.floor {
            ensure!(metrics.contains(&floor.metric), "{floor}: {} is not measured; see --k", floor.metric);
            ensure!(modes.contains(&floor.mode), "{floor}: {} is not measured; see --mode", floor.mode);
        }
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut depths: Vec<usize> = self.k.iter().copied().map(usize::from).collect();
        depths.sort_unstable();
        depths.dedup();
        let recalls = depths.into_iter().map(Metric::Recall);
        [Metric::Ndcg].into_iter().chain(recalls).chain([Metric::Mrr]).collect()
    }

    /// Each once, in the order in which they were named.
    fn modes(&self) -> Vec<Mode> {
        let mut modes: Vec<Mode> = Vec::new();
        for mode in &self.mode {
            if !modes.contains(mode) {
                modes.push(*mode);
            }
        }
        modes
    }
}
