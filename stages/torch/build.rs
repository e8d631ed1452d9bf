//! Tells the worker where libtorch is, so that it starts without `LD_LIBRARY_PATH`.

#[expect(
    clippy::disallowed_methods,
    reason = "a build script is told by the environment"
)]
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Set by torch-sys's build script when the `torch` feature is on.
    if let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
