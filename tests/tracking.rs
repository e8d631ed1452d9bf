//! Tracking, with a server that keeps what it is told: enough of MLflow's REST API 2.0.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::Project;

/// What the server was told.
#[derive(Debug, Default)]
struct Told {
    experiments: Vec<String>,
    runs: Vec<Run>,
    files: Vec<(String, Vec<u8>)>,
    requests: Vec<String>,
    /// Requests that are still answered; `None` for all.
    patience: Option<usize>,
}

#[derive(Debug, Default)]
struct Run {
    experiment: usize,
    name: String,
    status: String,
    tags: Vec<(String, String)>,
    params: Vec<(String, String)>,
    metrics: Vec<Value>,
}

struct Server {
    address: SocketAddr,
    told: Arc<Mutex<Told>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let told: Arc<Mutex<Told>> = Arc::default();
        let seen = told.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = seen.clone();
                // A client that goes away ends its connection and nothing else.
                std::thread::spawn(move || drop(serve(stream, &seen)));
            }
        });
        Self { address, told }
    }

    fn address(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn serve(stream: TcpStream, told: &Mutex<Told>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        let mut who = String::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim_end();
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(": ").unwrap();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "authorization" => who = value.to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mut words = request.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let mut told = told.lock().unwrap();
        told.requests.push(format!("{method} {target} {who}"));
        let (status, answer) = match told.patience {
            Some(0) => (
                503,
                json!({ "error_code": "TEMPORARILY_UNAVAILABLE", "message": "out of breath" }),
            ),
            _ => told.answer(target, &body),
        };
        told.patience = told.patience.map(|left| left.saturating_sub(1));
        drop(told);
        let text = answer.to_string();
        write!(
            stream,
            "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        )?;
    }
}

impl Told {
    fn answer(&mut self, target: &str, body: &[u8]) -> (u16, Value) {
        if let Some(path) = target.strip_prefix("/api/2.0/mlflow-artifacts/artifacts/") {
            self.files.push((path.to_owned(), body.to_vec()));
            return (200, json!({}));
        }
        let path = target.strip_prefix("/api/2.0/mlflow/").unwrap();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        if let Some(name) = path.strip_prefix("experiments/get-by-name?experiment_name=") {
            return match self.experiments.iter().position(|known| known == name) {
                Some(id) => (
                    200,
                    json!({ "experiment": { "experiment_id": id.to_string() } }),
                ),
                None => (
                    404,
                    json!({ "error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none" }),
                ),
            };
        }
        match path {
            "experiments/create" => {
                self.experiments
                    .push(body["name"].as_str().unwrap().to_owned());
                (
                    200,
                    json!({ "experiment_id": (self.experiments.len() - 1).to_string() }),
                )
            }
            "runs/search" => {
                let filter = body["filter"].as_str().unwrap();
                let (name, value) = filter.split_once(" = ").unwrap();
                let name = name.strip_prefix("tags.\"").unwrap().trim_end_matches('"');
                let tag = (name.to_owned(), value.trim_matches('\'').to_owned());
                let experiment: usize =
                    body["experiment_ids"][0].as_str().unwrap().parse().unwrap();
                let is_it = |run: &Run| run.experiment == experiment && run.tags.contains(&tag);
                let found = self.runs.iter().position(is_it);
                (
                    200,
                    found.map_or(json!({}), |id| json!({ "runs": [self.run(id)] })),
                )
            }
            "runs/create" => {
                self.runs.push(Run {
                    experiment: body["experiment_id"].as_str().unwrap().parse().unwrap(),
                    name: body["run_name"].as_str().unwrap().to_owned(),
                    tags: pairs(&body["tags"]),
                    ..Run::default()
                });
                (200, json!({ "run": self.run(self.runs.len() - 1) }))
            }
            "runs/log-batch" => {
                let run = self.run_of(&body);
                for (name, value) in pairs(&body["tags"]) {
                    run.tags.retain(|(known, _)| *known != name);
                    run.tags.push((name, value));
                }
                for param in pairs(&body["params"]) {
                    let other = run
                        .params
                        .iter()
                        .find(|known| known.0 == param.0 && **known != param);
                    assert_eq!(other, None, "a param of a run stays what it is");
                    if !run.params.contains(&param) {
                        run.params.push(param);
                    }
                }
                run.metrics
                    .extend(body["metrics"].as_array().into_iter().flatten().cloned());
                (200, json!({}))
            }
            "runs/update" => {
                self.run_of(&body).status = body["status"].as_str().unwrap().to_owned();
                (200, json!({}))
            }
            other => panic!("asked for `{other}`"),
        }
    }

    fn run_of(&mut self, body: &Value) -> &mut Run {
        let id: usize = body["run_id"].as_str().unwrap().parse().unwrap();
        &mut self.runs[id]
    }

    fn run(&self, id: usize) -> Value {
        let tags: Vec<Value> = self.runs[id]
            .tags
            .iter()
            .map(|(key, value)| json!({ "key": key, "value": value }))
            .collect();
        json!({
            "info": { "run_id": id.to_string(), "artifact_uri": format!("mlflow-artifacts:/0/{id}/artifacts") },
            "data": { "tags": tags },
        })
    }
}

fn pairs(list: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = list.as_array().into_iter().flatten();
    list.map(|pair| (text(&pair["key"]), text(&pair["value"])))
        .collect()
}

/// A project that has trained, so that runs of it are quick.
fn trained() -> Project {
    let project = Project::with_caps(12);
    project.run().success();
    project
}

fn steps(run: &Run, name: &str) -> Vec<u64> {
    let of_it = run.metrics.iter().filter(|metric| metric["key"] == name);
    of_it
        .map(|metric| metric["step"].as_u64().unwrap())
        .collect()
}

#[test]
fn every_training_is_told_once_and_told_on_when_results_change() {
    let (project, server) = (trained(), Server::start());
    let address = server.address();
    let before = project.files();
    let run = ["run", "experiment.yaml", "--mlflow", &address];
    let said = project.clinicadl(&run).success();
    let told = "MLflow experiment `small`: 2 runs new, 0 updated, 0 unchanged";
    assert!(said.stdout.contains(told), "{}{}", said.stdout, said.stderr);
    {
        let told = server.told.lock().unwrap();
        assert_eq!(told.experiments, ["small"]);
        let names: Vec<&str> = told.runs.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["split-0", "split-1"]);
        for run in &told.runs {
            assert_eq!(run.status, "FINISHED");
            assert_eq!(steps(run, "train/balanced_accuracy"), [0, 1]);
            assert_eq!(steps(run, "validation/loss"), [0, 1]);
            assert_eq!(
                steps(run, "test/best-balanced_accuracy/balanced_accuracy"),
                [0]
            );
            let params: Vec<&str> = run.params.iter().map(|(name, _)| name.as_str()).collect();
            for name in [
                "epochs",
                "network.name",
                "optimizer.learning_rate",
                "seed",
                "split",
            ] {
                assert!(params.contains(&name), "{name} in {params:?}");
            }
            let tags: Vec<&str> = run.tags.iter().map(|(name, _)| name.as_str()).collect();
            for name in ["clinicadl.key", "clinicadl.manifest", "clinicadl.version"] {
                assert!(tags.contains(&name), "{name} in {tags:?}");
            }
        }
        assert!(
            told.files.is_empty(),
            "files are told where they are asked for"
        );
    }
    assert_eq!(
        project.files(),
        before,
        "nothing of it is in results or the store"
    );

    let requests = || server.told.lock().unwrap().requests.len();
    let first = requests();
    let said = project.clinicadl(&run).success();
    assert!(
        said.stdout.contains("0 runs new, 0 updated, 2 unchanged"),
        "{}",
        said.stdout
    );
    assert_eq!(
        requests() - first,
        3,
        "the experiment and one search a training"
    );

    project.edit("experiment.yaml", "data_group: test", "data_group: held");
    let said = project
        .clinicadl(&[&run[..], &["--mlflow-files", "--json"]].concat())
        .success();
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(
        report["mlflow"],
        json!({ "experiment": "small", "new": 0, "updated": 2, "unchanged": 0 })
    );
    let told = server.told.lock().unwrap();
    assert_eq!(told.runs.len(), 2);
    assert_eq!(
        steps(&told.runs[0], "validation/loss"),
        [0, 1],
        "epochs are told once"
    );
    assert_eq!(steps(&told.runs[1], "held/best-loss/loss"), [0]);
    let names: Vec<&str> = told.files.iter().map(|(name, _)| name.as_str()).collect();
    let of = |run: usize, name: &str| format!("0/{run}/artifacts/{name}");
    assert_eq!(
        names,
        [
            of(0, "training.tsv"),
            of(0, "maps.json"),
            of(1, "training.tsv"),
            of(1, "maps.json")
        ]
    );
    assert_eq!(
        told.files[0].1,
        project
            .read("maps/split-0/training_logs/training.tsv")
            .as_bytes()
    );
}

#[test]
fn what_a_server_did_not_take_is_told_by_the_next_run() {
    let (project, server) = (trained(), Server::start());
    let address = format!("http://me:secret@{}/", server.address);
    let run = [
        "run",
        "experiment.yaml",
        "--mlflow",
        &address,
        "--mlflow-experiment",
        "mine",
    ];
    server.told.lock().unwrap().patience = Some(6);
    let said = project.clinicadl(&run).success();
    assert!(
        said.stderr.contains("MLflow was not told everything"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("503: out of breath"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains("secret"), "{}", said.stderr);
    server.told.lock().unwrap().patience = None;
    let said = project.clinicadl(&run).success();
    assert!(
        said.stdout.contains("1 runs new, 1 updated, 0 unchanged"),
        "{}",
        said.stdout
    );
    let told = server.told.lock().unwrap();
    assert_eq!(told.experiments, ["mine"]);
    assert!(
        told.requests
            .iter()
            .all(|request| request.ends_with("Basic bWU6c2VjcmV0"))
    );
    assert_eq!(steps(&told.runs[0], "train/loss"), [0, 1]);
}

#[test]
fn a_server_that_is_none_fails_no_run() {
    let project = Project::with_tables(24);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let said = project
        .clinicadl(&["run", "experiment.yaml", "--mlflow", &address])
        .success();
    assert!(
        said.stderr.contains("no training to tell MLflow of"),
        "{}",
        said.stderr
    );

    let project = trained();
    let said = project
        .clinicadl(&["run", "experiment.yaml", "--mlflow", &address])
        .success();
    let told = format!("MLflow was not told everything: `{address}` does not answer");
    assert!(said.stderr.contains(&told), "{}", said.stderr);
}

#[test]
fn addresses_that_are_none_are_refused_before_anything_runs() {
    let project = Project::with_tables(24);
    for (arguments, told) in [
        (
            &["--mlflow", "mlruns"][..],
            "`mlruns`: expected `https://host/path`",
        ),
        (
            &["--mlflow", "sqlite:///mlflow.db"],
            "expected `https://host/path`",
        ),
        (
            &["--mlflow"],
            "`--mlflow` without an address needs `MLFLOW_TRACKING_URI`",
        ),
        (&["--mlflow-files"], "--mlflow"),
    ] {
        let said = project.clinicadl(&[&["run", "experiment.yaml"], arguments].concat());
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        assert!(said.stderr.contains(told), "{}", said.stderr);
        assert!(!project.path("tables").exists());
    }
}
