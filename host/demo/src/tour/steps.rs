mod evidence;
mod identity;
mod masking;
mod refusing;
mod reloading;
mod reviewing;

use super::Step;

pub(super) fn all() -> Vec<Step> {
    let mut steps = masking::steps();
    steps.extend(refusing::steps());
    steps.extend(reviewing::steps());
    steps.extend(reloading::steps());
    steps.extend(identity::steps());
    steps.extend(evidence::steps());
    steps
}
