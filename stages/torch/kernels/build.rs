//! Compiles the loops once for each kind of processor, and the operators against libtorch.

#![expect(
    clippy::disallowed_methods,
    reason = "a build script is told by the environment"
)]

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    for file in [
        "first.cpp",
        "loops.cpp",
        "loops.h",
        "operators.cpp",
        "memory.cpp",
    ] {
        println!("cargo:rerun-if-changed=src/{file}");
    }
    for (capability, flags) in capabilities() {
        let mut build = cpp();
        build.define("CAPABILITY", capability);
        for flag in flags {
            build.flag(flag);
        }
        build.files(["src/loops.cpp", "src/first.cpp"]);
        build.compile(&format!("clinicadl_loops_{capability}"));
    }
    let mut build = cpp();
    for folder in includes() {
        build
            .flag("-isystem")
            .flag(folder.to_string_lossy().as_ref());
    }
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    build.define("_GLIBCXX_USE_CXX11_ABI", abi.as_str());
    if is_x86() {
        build.define("HAS_X86_LOOPS", None);
    }
    // The threads of libtorch's own loops; elsewhere one thread does all of it.
    let has_openmp = is_target("OS", "linux");
    if has_openmp {
        build.flag("-fopenmp");
        println!("cargo:rustc-link-lib=gomp");
    }
    build.files(["src/operators.cpp", "src/memory.cpp"]);
    build.compile("clinicadl_operators");
    // For the tests of this package; what uses it says so itself.
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libraries());
}

/// The folder of libtorch's libraries, as torch-sys tells it.
fn libraries() -> String {
    env::var("DEP_TCH_LIBTORCH_LIB").unwrap_or_default()
}

fn cpp() -> cc::Build {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .pic(true)
        .std("c++20")
        .opt_level(3)
        .debug(false);
    // Nobody asks for `errno` of a square root, which keeps it from being one instruction.
    build.flag_if_supported("-fno-math-errno");
    // Vectors wider than the processor's are only passed to functions that are inlined.
    build.flag_if_supported("-Wno-psabi");
    build
}

fn is_x86() -> bool {
    is_target("ARCH", "x86_64")
}

/// Whether it is built for this system or processor.
fn is_target(what: &str, value: &str) -> bool {
    env::var(format!("CARGO_CFG_TARGET_{what}")).is_ok_and(|found| found == value)
}

/// Names of kinds of processors with what the compiler is told of them.
fn capabilities() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut kinds = vec![("plain", vec![])];
    if is_x86() {
        kinds.push(("avx2", vec!["-march=x86-64-v3"]));
        let wide = vec!["-march=x86-64-v4", "-mprefer-vector-width=512"];
        kinds.push(("avx512", wide));
    }
    kinds
}

/// Folders of libtorch's headers, found from its libraries'.
fn includes() -> [PathBuf; 2] {
    let library = env::var("DEP_TCH_LIBTORCH_LIB").unwrap_or_default();
    let root = env::var("LIBTORCH_INCLUDE")
        .map(PathBuf::from)
        .unwrap_or_else(|_| {
            let library = Path::new(&library);
            library.parent().unwrap_or(library).to_owned()
        });
    let include = root.join("include");
    let api = include.join("torch/csrc/api/include");
    [include, api]
}
