//! Stores elsewhere: a folder, a web server, and a server that speaks as much S3 as is needed.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::support::{Project, Said, command, files, run};

/// A lab: somebody's project that ran, and a colleague's clone of it with an empty store.
struct Lab {
    first: Project,
    second: Project,
}

impl Lab {
    fn new() -> Self {
        let first = Project::with_tables(24);
        first.run().success();
        let second = Project::with_tables(24);
        let lock = first.read("experiment.yaml.lock");
        second.write("experiment.yaml.lock", &lock);
        Self { first, second }
    }

    /// A folder in which a third party keeps the remote.
    fn folder(&self) -> PathBuf {
        self.first.path("remote")
    }
}

/// The first line of what a command says.
fn first_line(said: &Said) -> &str {
    said.stdout.lines().next().unwrap_or_default()
}

#[test]
fn a_colleague_computes_nothing_again() {
    let lab = Lab::new();
    let remote = lab.folder();
    let remote = remote.to_str().unwrap();
    let said = lab.first.clinicadl(&["store", "push", remote]).success();
    assert!(
        said.stdout.starts_with("pushed 3 results to "),
        "{}",
        said.stdout
    );
    let again = lab.first.clinicadl(&["store", "push", remote]).success();
    assert!(again.stdout.contains("3 were there"), "{}", again.stdout);

    let report = lab.second.report(&["--remote", remote, "--locked"]);
    let actions = report["run"]["actions"].as_array().unwrap();
    assert_eq!(actions.len(), 3);
    for action in actions {
        assert_eq!(action["outcome"]["outcome"], "hit");
        assert!(action["pulled_bytes"].as_u64().unwrap() > 0);
    }
    let verified = lab.second.clinicadl(&["verify", "experiment.yaml"]);
    assert_eq!(
        verified.code,
        Some(0),
        "{}{}",
        verified.stdout,
        verified.stderr
    );
    let check = lab.second.clinicadl(&["store", "verify"]).success();
    assert!(check.stdout.contains("none is damaged"), "{}", check.stdout);
}

#[test]
fn a_run_takes_what_is_there_and_puts_what_is_not() {
    let lab = Lab::new();
    let remote = lab.folder();
    let arguments = [
        "run",
        "experiment.yaml",
        "--remote",
        remote.to_str().unwrap(),
    ];
    // What was in the store before goes as well: others have no other way to it.
    let said = lab.first.clinicadl(&arguments).success();
    assert!(said.stdout.contains("pushed 3 results"), "{}", said.stdout);
    lab.second
        .edit("experiment.yaml", "n_splits: 2", "n_splits: 3");
    let said = lab.second.clinicadl(&arguments).success();
    assert!(said.stdout.contains("1 ran, 2 hits"), "{}", said.stdout);
    assert!(
        said.stdout.contains("2 of the hits came from the remote"),
        "{}",
        said.stdout
    );
    assert!(said.stdout.contains("pushed 1 results"), "{}", said.stdout);
    assert!(said.stderr.contains("pull  holdout"), "{}", said.stderr);

    let unasked = Project::with_tables(30);
    let before = files(&remote);
    unasked
        .clinicadl(&[&arguments[..], &["--no-push"]].concat())
        .success();
    assert_eq!(files(&remote), before);
}

#[test]
fn results_are_fetched_before_they_are_needed() {
    let lab = Lab::new();
    let remote = lab.folder();
    let remote = remote.to_str().unwrap();
    let pull = ["store", "pull", remote, "experiment.yaml"];
    let said = lab.second.clinicadl(&pull);
    assert_eq!(said.code, Some(7), "{}", said.stderr);
    assert!(
        said.stderr.contains("it has no `FORMAT`"),
        "{}",
        said.stderr
    );
    assert!(!lab.folder().exists(), "taking makes nothing");
    let unrelated = Project::with_tables(30);
    let push = ["run", "experiment.yaml", "--remote", remote];
    unrelated.clinicadl(&push).success();
    let said = lab.second.clinicadl(&pull);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stdout
            .contains("not there as the lock file has it: folds"),
        "{}",
        said.stdout
    );

    lab.first
        .clinicadl(&["store", "push", remote, "experiment.yaml"])
        .success();
    let said = lab.second.clinicadl(&pull).success();
    assert!(
        first_line(&said).starts_with("pulled 3 results"),
        "{}",
        said.stdout
    );
    let said = lab.second.clinicadl(&["run", "experiment.yaml"]).success();
    assert_eq!(first_line(&said), "up to date: all 3 actions were hits");

    // Damage there is found on arrival.
    let third = Project::with_tables(24);
    third.write(
        "experiment.yaml.lock",
        &lab.first.read("experiment.yaml.lock"),
    );
    let objects = lab.folder().join("objects");
    for file in files(&objects) {
        fs::write(objects.join(file), "something else").unwrap();
    }
    let said = third.clinicadl(&pull);
    assert_eq!(said.code, Some(5), "{}", said.stdout);
    assert!(said.stderr.contains("damaged or forged"), "{}", said.stderr);
    let said = third
        .clinicadl(&["run", "experiment.yaml", "--remote", remote])
        .success();
    assert!(said.stdout.contains("3 ran, 0 hits"), "{}", said.stdout);
}

#[test]
fn what_cannot_be_reached_is_said_at_once() {
    let project = Project::with_tables(24);
    // A port that nobody listens at.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let run = |remote: &str| project.clinicadl(&["run", "experiment.yaml", "--remote", remote]);
    let said = run(&format!("http://{address}/store"));
    assert_eq!(said.code, Some(7), "{}", said.stderr);
    assert!(
        said.stderr.contains("failed to read `FORMAT`"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("refused"), "{}", said.stderr);
    let said = run("gs://bucket");
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    project.write("no-store/FORMAT", "something");
    let said = run("no-store");
    assert_eq!(said.code, Some(7), "{}", said.stderr);
    assert!(said.stderr.contains("holds no store"), "{}", said.stderr);
    project.run().success();
    let said = project.clinicadl(&["store", "pull", "no-store", "missing.yaml"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("there is no lock file"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_web_server_is_read_only() {
    let lab = Lab::new();
    let server = Server::start(&lab.first.path(".clinicadl"), false);
    let remote = format!("http://{}/", server.address);
    let said = lab
        .second
        .clinicadl(&["run", "experiment.yaml", "--remote", &remote])
        .success();
    assert!(
        said.stdout.contains("3 of the hits came from the remote"),
        "{}",
        said.stdout
    );
    assert!(
        server
            .requests()
            .iter()
            .all(|request| !request.starts_with("PUT"))
    );
    let said = lab.first.clinicadl(&["store", "push", &remote]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("can only be read"), "{}", said.stderr);
}

#[test]
fn a_bucket_is_a_remote() {
    let lab = Lab::new();
    let server = Server::start(&lab.folder(), true);
    let with_bucket = |project: &Project, arguments: &[&str]| {
        let mut command = command(&project.path(""), arguments);
        run(in_aws(&mut command, server.address)).success()
    };
    let remote = "s3://lab/stores/first";
    let said = with_bucket(&lab.first, &["store", "push", remote]);
    assert!(
        said.stdout
            .starts_with("pushed 3 results to s3://lab/stores/first"),
        "{}",
        said.stdout
    );
    assert!(lab.folder().join("lab/stores/first/FORMAT").is_file());
    let said = with_bucket(&lab.second, &["run", "experiment.yaml", "--remote", remote]);
    assert!(
        said.stdout.contains("3 of the hits came from the remote"),
        "{}",
        said.stdout
    );
}

/// The environment of somebody with an S3 server of their own.
fn in_aws(command: &mut Command, address: SocketAddr) -> &mut Command {
    command
        .env("AWS_ENDPOINT_URL", format!("http://{address}"))
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
}

/// An HTTP server of one folder; ends with the test's process.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(folder: &Path, is_writable: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (folder, seen) = (folder.to_owned(), requests.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, seen) = (folder.clone(), seen.clone());
                std::thread::spawn(move || {
                    // A client that goes away ends its connection and nothing else.
                    drop(serve(stream, &folder, is_writable, &seen));
                });
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Answers the requests of one connection.
fn serve(
    stream: TcpStream,
    folder: &Path,
    is_writable: bool,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        seen.lock().unwrap().push(request.clone());
        let mut words = request.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let path = folder.join(target.split('?').next().unwrap().trim_start_matches('/'));
        let (status, content) = match method {
            "PUT" if is_writable => {
                fs::create_dir_all(path.parent().unwrap())?;
                fs::write(&path, body)?;
                ("200 OK", Vec::new())
            }
            "GET" | "HEAD" => match fs::read(&path) {
                Ok(bytes) => ("200 OK", bytes),
                Err(_) => ("404 Not Found", Vec::new()),
            },
            _ => ("405 Method Not Allowed", Vec::new()),
        };
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"1\"\r\n\
             Last-Modified: Mon, 23 Nov 2026 00:00:00 GMT\r\n\r\n",
            content.len()
        )?;
        if method != "HEAD" {
            stream.write_all(&content)?;
        }
    }
}
