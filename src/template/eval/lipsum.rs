//! Jinja's `lipsum()`: text that fills a page and says nothing.

use crate::template::filters::random::PyRandom;

const WORDS: &str = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore \
magna aliqua enim ad minim veniam quis nostrud exercitation ullamco laboris nisi aliquip ex ea commodo consequat duis aute irure in \
reprehenderit voluptate velit esse cillum eu fugiat nulla pariatur excepteur sint occaecat cupidatat non proident sunt culpa qui \
officia deserunt mollit anim id est laborum";

/// `n` paragraphs of `min` to `max` words each.
pub(super) fn lipsum(n: usize, html: bool, min: usize, max: usize) -> String {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut random = PyRandom::system();
    let mut draw = |count: usize| usize::try_from(random.below(u64::try_from(count.max(1)).unwrap_or(1))).unwrap_or(0);
    let mut paragraphs = vec![];
    for _ in 0..n {
        let count = min + draw(max.saturating_sub(min).max(1));
        let mut text = String::new();
        let (mut begins, mut since_stop) = (true, 0);
        for i in 0..count {
            let word = words[draw(words.len())];
            if i > 0 {
                text.push(' ');
            }
            if begins {
                text.push_str(&word[..1].to_uppercase());
                text.push_str(&word[1..]);
            } else {
                text.push_str(word);
            }
            begins = false;
            since_stop += 1;
            if i + 1 < count && since_stop > 5 {
                match draw(12) {
                    0 => {
                        text.push('.');
                        begins = true;
                        since_stop = 0;
                    }
                    1 => text.push(','),
                    _ => {}
                }
            }
        }
        text.push('.');
        paragraphs.push(if html { format!("<p>{text}</p>") } else { text });
    }
    paragraphs.join(if html { "\n" } else { "\n\n" })
}
