/// The candidate that was probably meant, if one is near enough: a third of the letters may differ.
#[must_use]
pub fn closest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (written.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&written.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// "did you mean …", or else what there is to choose from.
pub(crate) fn hint<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    if let Some(meant) = closest(written, candidates.clone()) {
        return Some(format!("did you mean `{meant}`?"));
    }
    let all: Vec<String> = candidates.into_iter().map(|name| format!("`{name}`")).collect();
    if all.is_empty() { None } else { Some(format!("known here: {}", all.join(", "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        for (written, expected) in [
            ("audiance", Some("audience")),
            ("Issuer", Some("issuer")),
            ("isuser", Some("issuer")),
            ("x", None),
            ("password", None),
        ] {
            assert_eq!(closest(written, ["issuer", "audience", "leeway"]), expected, "{written}");
        }
    }
}
