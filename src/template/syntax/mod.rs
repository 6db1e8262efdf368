//! Jinja's syntax: text in, tree out.
//!
//! kdeploy reads templates itself instead of by minijinja's parser, because Ansible's dialect differs where playbooks notice: a backslash
//! in a YAML value's string stays as written, tuples need no parentheses, and every place must be exact to the byte. What the tree
//! means is in `eval/`; values, filters and tests are minijinja's.

pub mod ast;
mod lexer;
mod names;
mod parser;

pub use lexer::{LexOptions, is_template};
pub use names::{Survey, Use};
pub use parser::{SyntaxError, parse_expression, parse_template};
