//! The few forms of PL/pgSQL that most triggers are made of. What is written in others is not followed.

use crate::fingerprint::{Kind, Token, Tokens};

/// One thing that a body does. Which branches are taken does not matter.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `NEW.column := …`: the column, and a query for its value.
    Assign(String, String),
    /// A query whose result is tested, put into a message or thrown away.
    Compute(String),
    /// INSERT, UPDATE or DELETE.
    Change(String),
}

/// The steps of a trigger's body; none if it does anything else.
pub(super) fn steps(body: &str) -> Option<Vec<Step>> {
    let mut reader = Reader { body, tokens: Tokens::new(body).collect(), at: 0, steps: Vec::new() };
    reader.word("begin")?;
    reader.block()?;
    reader.word("end")?;
    let _ = reader.symbol(";");
    (reader.at == reader.tokens.len()).then_some(reader.steps)
}

struct Reader<'t> {
    body: &'t str,
    tokens: Vec<Token<'t>>,
    at: usize,
    steps: Vec<Step>,
}

impl<'t> Reader<'t> {
    /// Statements up to a word that ends a block.
    fn block(&mut self) -> Option<()> {
        while !["end", "else", "elsif", "elseif"].iter().any(|word| self.is_word(word)) {
            self.statement()?;
        }
        Some(())
    }

    fn statement(&mut self) -> Option<()> {
        let first = self.peek().filter(|token| token.kind == Kind::Word)?.text.to_ascii_lowercase();
        match first.as_str() {
            "if" => return self.branches(),
            "insert" | "update" | "delete" => {
                let text = self.up_to(";")?;
                self.steps.push(Step::Change(text.to_owned()));
            }
            _ => {
                self.at += 1;
                match first.as_str() {
                    "null" => {}
                    "new" => self.assignment()?,
                    "return" => self.returned()?,
                    "raise" => self.message()?,
                    "perform" => self.compute(";")?,
                    _ => return None,
                }
            }
        }
        self.symbol(";")
    }

    /// `IF … THEN … ELSIF … THEN … ELSE … END IF;`
    fn branches(&mut self) -> Option<()> {
        while ["if", "elsif", "elseif"].iter().any(|word| self.is_word(word)) {
            self.at += 1;
            self.compute("then")?;
            self.word("then")?;
            self.block()?;
        }
        if self.is_word("else") {
            self.at += 1;
            self.block()?;
        }
        self.word("end")?;
        self.word("if")?;
        self.symbol(";")
    }

    /// What stands behind NEW.
    fn assignment(&mut self) -> Option<()> {
        self.symbol(".")?;
        let token = self.next()?;
        let column = match token.kind {
            Kind::Word => token.text.to_ascii_lowercase(),
            Kind::Quoted => token.text.strip_prefix('"')?.strip_suffix('"')?.replace("\"\"", "\""),
            Kind::Constant | Kind::Symbol => return None,
        };
        let _ = self.symbol(":");
        self.symbol("=")?;
        let value = self.up_to(";")?;
        self.steps.push(Step::Assign(column, format!("SELECT {value}")));
        Some(())
    }

    /// The row as it is: what else may be returned takes its place.
    fn returned(&mut self) -> Option<()> {
        let text: String = self.up_to(";")?.split_whitespace().collect();
        let is_the_row =
            ["new", "old", "null", "coalesce(new,old)", "coalesce(old,new)"].contains(&&*text.to_ascii_lowercase());
        is_the_row.then_some(())
    }

    /// What stands behind RAISE: a level, a constant text, and what is put into it.
    fn message(&mut self) -> Option<()> {
        let levels = ["debug", "log", "info", "notice", "warning", "exception"];
        if levels.iter().any(|level| self.is_word(level)) {
            self.at += 1;
        }
        self.next().filter(|token| token.kind == Kind::Constant)?;
        if self.symbol(",").is_some() {
            self.compute(";")?;
        }
        Some(())
    }

    fn compute(&mut self, end: &str) -> Option<()> {
        let text = self.up_to(end)?;
        self.steps.push(Step::Compute(format!("SELECT {text}")));
        Some(())
    }

    /// The text up to a word or symbol outside any CASE; a statement ends before that.
    fn up_to(&mut self, end: &str) -> Option<&'t str> {
        let start = self.peek()?.start;
        let mut cases = 0_u32;
        while let Some(token) = self.peek() {
            let is_word = |word: &str| token.kind == Kind::Word && token.text.eq_ignore_ascii_case(word);
            if cases == 0 && (is_word(end) || token.kind == Kind::Symbol && token.text == end) {
                return self.body.get(start..token.start).filter(|text| !text.is_empty());
            }
            match () {
                () if token.kind == Kind::Symbol && token.text == ";" => return None,
                () if is_word("case") => cases += 1,
                () if is_word("end") => cases = cases.checked_sub(1)?,
                () => {}
            }
            self.at += 1;
        }
        None
    }

    fn peek(&self) -> Option<Token<'t>> {
        self.tokens.get(self.at).copied()
    }

    fn next(&mut self) -> Option<Token<'t>> {
        self.at += 1;
        self.tokens.get(self.at - 1).copied()
    }

    fn is_word(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| token.kind == Kind::Word && token.text.eq_ignore_ascii_case(word))
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.is_word(word).then(|| self.at += 1)
    }

    fn symbol(&mut self, symbol: &str) -> Option<()> {
        let is_it = self.peek().is_some_and(|token| token.kind == Kind::Symbol && token.text == symbol);
        is_it.then(|| self.at += 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_bodies_are_read() {
        let step = |steps: &[Step]| steps.iter().map(|step| format!("{step:?}")).collect::<Vec<_>>().join(" ");
        for (body, expected) in [
            ("BEGIN NEW.changed = now(); -- why\n RETURN NEW; END;", r#"Assign("changed", "SELECT now()")"#),
            (
                "begin if CASE WHEN a THEN b END then new.\"A\"\"b\" := 1; elsif c then null; else return old; end if; return null; end",
                r#"Compute("SELECT CASE WHEN a THEN b END ") Assign("A\"b", "SELECT 1") Compute("SELECT c ")"#,
            ),
            (
                "BEGIN INSERT INTO t VALUES (';'); PERFORM f(x); RAISE NOTICE 'x %', y; RETURN coalesce( new, OLD ); END",
                r#"Change("INSERT INTO t VALUES (';')") Compute("SELECT f(x)") Compute("SELECT y")"#,
            ),
        ] {
            assert_eq!(steps(body).map(|steps| step(&steps)).as_deref(), Some(expected), "{body}");
        }
    }

    #[test]
    fn all_else_is_not() {
        for body in [
            "",
            "BEGIN",
            "BEGIN EXECUTE 'x'; RETURN NEW; END",
            "DECLARE x text; BEGIN RETURN NEW; END",
            "BEGIN RETURN (SELECT t FROM t); END",
            "BEGIN NEW := x; RETURN NEW; END",
            "BEGIN NEW.x[1] := 1; RETURN NEW; END",
            "BEGIN SELECT 1 INTO NEW.x; RETURN NEW; END",
            "BEGIN RETURN NEW; EXCEPTION WHEN others THEN RETURN NULL; END",
            "BEGIN RETURN NEW; END; DROP TABLE x",
            "BEGIN FOR r IN SELECT 1 LOOP NULL; END LOOP; RETURN NEW; END",
            "BEGIN RAISE NOTICE '%', 1 USING HINT = 'x'; RETURN END IF; END",
            "BEGIN IF a THEN RETURN NEW; END; END",
            "<<l>> BEGIN RETURN NEW; END",
        ] {
            assert_eq!(steps(body), None, "{body}");
        }
    }
}
