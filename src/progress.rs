//! Progress of a run on standard error: bars on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use engine::StageEvent;
use engine::exec::Event;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::Output;
use crate::commands::human;

/// Consumes the events of a run.
pub(crate) struct Progress {
    quiet: bool,
    verbose: bool,
    bars: Option<MultiProgress>,
    running: BTreeMap<String, ProgressBar>,
    /// Per action, the tenth of its work last told on a plain line.
    told: BTreeMap<String, u64>,
}

impl Progress {
    pub(crate) fn new(output: &Output) -> Self {
        let plain = std::env::var_os("CI").is_some()
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let bars = (std::io::stderr().is_terminal() && !plain && !output.quiet)
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));
        Self {
            quiet: output.quiet,
            verbose: output.verbose > 0,
            bars,
            running: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    pub(crate) fn handle(&mut self, event: &Event) {
        match event {
            Event::Planned { .. } => {}
            Event::Hit { action } => {
                if self.verbose {
                    self.line(&format!("    hit  {action}"));
                }
            }
            Event::Started { action, reason } => {
                self.line(&format!("    \x1b[1mrun\x1b[0m  {action}: {reason}"));
                self.start_bar(action);
            }
            Event::Waiting { action } => {
                self.line(&format!("   wait  {action}: another run is computing it"));
            }
            Event::Turn { action } => {
                self.line(&format!(
                    "    \x1b[1mrun\x1b[0m  {action}: the other run left no result"
                ));
            }
            Event::Stage { action, event } => self.stage(action, event),
            Event::Finished { action, elapsed_s } => {
                self.end_bar(action);
                self.line(&format!(
                    "   \x1b[1;32mdone\x1b[0m  {action} ({elapsed_s:.1} s)"
                ));
            }
            Event::Pulled { action, bytes } => {
                self.end_bar(action);
                let size = human(*bytes);
                self.line(&format!("   \x1b[1;32mpull\x1b[0m  {action} ({size})"));
            }
            Event::Failed { action, error } => {
                self.end_bar(action);
                self.line(&format!(" \x1b[1;31mfailed\x1b[0m  {action}: {error}"));
            }
            Event::Retrying {
                action,
                error,
                attempts,
                delay_s,
            } => {
                self.end_bar(action);
                self.line(&format!(
                    "  \x1b[1;33mretry\x1b[0m  {action}: {error}; try {} in {delay_s:.0} s",
                    attempts + 1
                ));
            }
            Event::Skipped { action, because } => {
                self.line(&format!("   skip  {action}: `{because}` failed"));
            }
            Event::Stopping => {
                self.line("stopping: waiting for running actions; press Ctrl-C again to kill them");
            }
        }
    }

    pub(crate) fn finish(&mut self) {
        for bar in std::mem::take(&mut self.running).into_values() {
            bar.finish_and_clear();
        }
    }

    fn stage(&mut self, action: &str, event: &StageEvent) {
        match event {
            StageEvent::Progress {
                done,
                total,
                detail,
            } => {
                if let Some(bar) = self.running.get(action) {
                    bar.set_length(*total);
                    bar.set_position(*done);
                    bar.set_message(detail.clone());
                } else {
                    self.tell_tenths(action, *done, *total, detail);
                }
            }
            StageEvent::Info { message } => self.line(&format!("         {action}: {message}")),
            StageEvent::Warning { message } => {
                self.line(&format!("\x1b[1;33mwarning\x1b[0m  {action}: {message}"));
            }
            StageEvent::Phase(_) => {}
            StageEvent::Items { reused, computed } => {
                self.line(&format!(
                    "         {action}: {computed} computed, {reused} reused from the store"
                ));
            }
        }
    }

    /// Without a terminal, ten lines an action are enough.
    fn tell_tenths(&mut self, action: &str, done: u64, total: u64, detail: &str) {
        let tenth = (done * 10).checked_div(total).unwrap_or(0);
        if self.told.get(action).is_none_or(|&told| tenth > told) && done > 0 {
            self.told.insert(action.to_owned(), tenth);
            self.line(&format!("         {action}: {done}/{total} {detail}"));
        }
    }

    fn start_bar(&mut self, action: &str) {
        let Some(bars) = &self.bars else { return };
        let bar = bars.add(ProgressBar::new(0));
        if let Ok(style) =
            ProgressStyle::with_template("  {spinner} {prefix}  {bar:24} {pos}/{len} {wide_msg}")
        {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.set_prefix(action.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        self.running.insert(action.to_owned(), bar);
    }

    fn end_bar(&mut self, action: &str) {
        self.told.remove(action);
        if let Some(bar) = self.running.remove(action) {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        if self.quiet {
            return;
        }
        let write = || {
            // Nobody is left to tell when standard error is closed.
            drop(writeln!(anstream::stderr(), "{text}"));
        };
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }
}
