//! The program: parses, calls, exits.

fn main() -> std::process::ExitCode {
    kdeploy::cli::main()
}
