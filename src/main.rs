//! The program: parses, calls, exits.

fn main() -> kdeploy::cli::Exit {
    kdeploy::cli::main()
}
