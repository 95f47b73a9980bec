//! What a campaign counts.

use std::fmt;

use crate::campaign::Failure;

/// Numbers by name, in the order in which they were first named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures(Vec<(&'static str, u64)>);

impl Figures {
    pub(crate) fn add(&mut self, name: &'static str, number: u64) {
        match self.0.iter_mut().find(|(other, _)| *other == name) {
            Some((_, sum)) => *sum += number,
            None => self.0.push((name, number)),
        }
    }

    pub(crate) fn get(&self, name: &str) -> u64 {
        self.0.iter().find(|(other, _)| *other == name).map_or(0, |(_, number)| *number)
    }

    /// A campaign that did too little has shown nothing.
    pub(crate) fn at_least(&self, name: &'static str, least: u64) -> Result<(), Failure> {
        let number = self.get(name);
        if number >= least {
            return Ok(());
        }
        Err(Failure::new(TOO_LITTLE, format!("{name} is {number}, and should be {least} at least")))
    }
}

/// The figure of a campaign that did less than it should.
pub(crate) const TOO_LITTLE: &str = "too_little";

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, number)) in self.0.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{name}={number}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_add_up_and_keep_their_order() {
        let mut figures = Figures::default();
        for (name, number) in [("rounds", 1), ("lost", 0), ("rounds", 2)] {
            figures.add(name, number);
        }
        assert_eq!(figures.to_string(), "rounds=3 lost=0");
    }

    #[test]
    fn too_little_is_a_failure() {
        let mut figures = Figures::default();
        figures.add("commits", 9);
        assert!(figures.at_least("commits", 9).is_ok());
        assert!(figures.at_least("commits", 10).is_err());
        assert!(figures.at_least("never counted", 1).is_err());
    }
}
