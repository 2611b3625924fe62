//! The report for people: a table, what makes its numbers mean something else, floors, and questions that went wrong.

use super::{Measures, Report};
use crate::cli::{
    eval::{
        bootstrap::Estimate,
        sql::{ask::Outcome, floor::Metric, questions::Question},
    },
    table,
};

/// Of a question, a statement and a reason.
const SHOWN: usize = 300;

impl Report {
    /// Everything, with the `worst` questions.
    pub fn text(&self, worst: usize) -> Vec<String> {
        let mut lines = vec![self.heading(), String::new()];
        lines.extend(self.table());
        lines.push(String::new());
        lines.extend(self.explained());
        lines.extend(self.remarks());
        lines.extend(self.wrong(worst));
        lines.extend(self.missed().into_iter().map(|(floor, mean)| match mean {
            Some(mean) => format!("missed  {floor}: it is {mean:.4}, {:.4} too low", floor.value - mean),
            None => format!("missed  {floor}: nothing was answered"),
        }));
        lines
    }

    fn heading(&self) -> String {
        let (questions, databases) = (self.questions.len(), self.databases());
        let plural = if databases == 1 { "database" } else { "databases" };
        let threshold = self.threshold;
        format!(
            "{}: {questions} questions to {databases} {plural}, answered from a confidence of {threshold}",
            self.name
        )
    }

    fn table(&self) -> Vec<String> {
        let mut names = vec!["", "questions"];
        names.extend(Metric::ALL.map(Metric::name));
        let mut rows = vec![self.overall().row("all")];
        rows.extend(self.by_family().into_iter().map(|(family, measures)| measures.row(family.name())));
        rows.extend(self.by_generator().into_iter().map(|(name, measures)| measures.row(&name)));
        table::lines(&names, &rows)
    }

    fn explained(&self) -> Vec<String> {
        vec![
            "accuracy: the best guess gives the expected rows, of all questions; precision: of those answered;"
                .to_owned(),
            "offered: the best guess or one of the two next to it does. A question counts in each of its families."
                .to_owned(),
            format!(
                "In brackets: 95 % confidence intervals, bootstrap over questions (Efron), {} resamples.",
                self.resampling.times
            ),
            format!("Median time to draft: {:.1} ms, p95 {:.1} ms.", self.generation_ms(0.5), self.generation_ms(0.95)),
        ]
    }

    /// What makes the numbers mean something else than one would think.
    fn remarks(&self) -> Vec<String> {
        let remarks = [
            (self.count(|it| it.broken.is_some()), "Questions whose expected statement did not run, and say nothing"),
            (
                self.count(|it| it.expected_nothing),
                "Expected results without rows, which any other empty result equals",
            ),
            (self.count(|it| it.cut), "Results compared by their first 10,000 rows"),
            (
                self.count(|it| !it.degraded.is_empty()),
                "Degraded answers, so that the generator measured is not the one set up",
            ),
        ];
        let shown = remarks.into_iter().filter(|(number, _)| *number > 0);
        let mut lines: Vec<String> = shown.map(|(number, remark)| format!("{remark}: {number}.")).collect();
        let broken = self.questions.iter().zip(&self.outcomes);
        let first = broken.into_iter().find_map(|(question, it)| Some((question, it.broken.as_deref()?)));
        lines.extend(first.map(|(question, why)| format!("The first, {}: {}", question.id, short(why))));
        lines
    }

    /// The questions whose best guess is wrong, the surest first, and then those that were declined.
    fn wrong(&self, number: usize) -> Vec<String> {
        let mut wrong: Vec<(&Question, &Outcome)> = self.scored().filter(|(_, outcome)| !outcome.right).collect();
        wrong.sort_by(|(_, one), (_, other)| other.confidence.total_cmp(&one.confidence));
        if number == 0 || wrong.is_empty() {
            return Vec::new();
        }
        let mut lines = vec![String::new(), "Wrong, the surest first (confidence):".to_owned()];
        for (question, outcome) in wrong.into_iter().take(number) {
            let Question { id, database, text, gold, .. } = question;
            lines.push(String::new());
            lines.push(format!("{:.2}  {id}  {database}  {}", outcome.confidence, short(text)));
            lines.push(format!("      expected  {}", short(gold)));
            lines.extend(outcome.explained());
        }
        lines.push(String::new());
        lines
    }
}

impl Measures {
    fn row(&self, name: &str) -> Vec<String> {
        let mut row = vec![name.to_owned(), self.questions.to_string()];
        row.extend(self.estimates.iter().map(|(_, estimate)| match estimate {
            Some(Estimate { mean, low, high }) => format!("{mean:.3} ({low:.3} to {high:.3})"),
            None => "–".to_owned(),
        }));
        row
    }
}

impl Outcome {
    fn explained(&self) -> Vec<String> {
        let answered = self.sql.as_ref().map(|sql| format!("      answered  {}", short(sql)));
        let kind = if self.sql.is_none() { "declined" } else { "not run " };
        let reason = self.reason.as_ref().map(|reason| format!("      {kind}  {}", short(reason)));
        let offered = self.offered.then(|| "      another of those offered is right".to_owned());
        answered.into_iter().chain(reason).chain(offered).collect()
    }
}

fn short(text: &str) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match flat.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", flat.get(..end).unwrap_or_default()),
        None => flat,
    }
}
