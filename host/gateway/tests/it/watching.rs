//! How a running gateway follows the files of its plugins: real files, real components, every way in which people and
//! programs put one in the place of another.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use crate::check::component;
use crate::place::{PHI, Place, Served};

fn next() -> std::path::PathBuf {
    component("demo/phi-next.wasm")
}

/// Waits for the epoch, and prints how long after `saved` it was in force.
#[allow(clippy::print_stdout, reason = "the figure is what people want to read")]
fn in_force(served: &mut Served<'_>, epoch: u32, saved: SystemTime, how: &str) {
    served.wait_for(&format!("policy epoch {epoch}"));
    println!("{how}: in force after {} ms", saved.elapsed().unwrap().as_millis());
}

/// Writes a component over the file itself, in parts that end at these bytes, with a pause after each.
fn write_slowly(place: &Place, component: &Path, ends: &[usize], pause: impl Fn(usize)) {
    let bytes = fs::read(component).unwrap();
    let mut file = File::create(place.path("phi.wasm")).unwrap();
    let mut from = 0;
    for (part, end) in ends.iter().copied().chain([bytes.len()]).enumerate() {
        file.write_all(&bytes[from..end]).unwrap();
        file.sync_all().unwrap();
        from = end;
        pause(part);
    }
}

/// Where the metadata begin: what is before them is a component by itself.
fn metadata(component: &Path) -> usize {
    let bytes = fs::read(component).unwrap();
    let name = b"grille:metadata";
    let at = bytes.windows(name.len()).rposition(|window| window == name).unwrap();
    // Section id, size in two bytes, length of the name.
    at - 4
}

/// The components that came into force after the first, as the ledger tells.
fn activated(place: &Place) -> Vec<String> {
    let changes = place.changes();
    let done = changes.iter().filter(|change| change.refused.is_none());
    done.skip(1).map(|change| change.policies["phi"].plugin.to_string()).collect()
}

fn digest(component: &Path) -> String {
    let bytes = fs::read(component).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_file_that_is_replaced_or_written_over_is_in_force_at_once() {
    let place = Place::new();
    let mut served = place.serve();
    fs::copy(next(), place.path("new.wasm")).unwrap();
    let saved = SystemTime::now();
    fs::rename(place.path("new.wasm"), place.path("phi.wasm")).unwrap();
    in_force(&mut served, 2, saved, "temporary file and rename");
    let saved = SystemTime::now();
    fs::copy(component("phi.wasm"), place.path("phi.wasm")).unwrap();
    in_force(&mut served, 3, saved, "written over, a digest that was seen before");
    assert!(served.stop().success(), "{}", place.log());
    assert_eq!(activated(&place), [digest(&next()), digest(&component("phi.wasm"))]);
    assert_eq!(place.count("reload refused"), 0, "{}", place.log());
}

#[test]
fn a_slow_copy_is_never_loaded_in_part() {
    let place = Place::new();
    let mut served = place.serve();
    let (all, bare) = (fs::metadata(next()).unwrap().len() as usize, metadata(&next()));
    let parts = [all / 4, all / 2, all * 3 / 4, bare];
    write_slowly(&place, &next(), &parts, |_| sleep(Duration::from_millis(400)));
    served.wait_for("policy epoch 2");
    assert!(served.stop().success(), "{}", place.log());
    assert_eq!(activated(&place), [digest(&next())]);
    assert_eq!(place.count("reload refused"), 0, "{}", place.log());
}

#[test]
fn a_copy_that_stalls_is_told_once_and_activates_itself_when_it_is_complete() {
    let place = Place::new();
    let mut served = place.serve();
    let all = fs::metadata(next()).unwrap().len() as usize;
    write_slowly(&place, &next(), &[all / 3, all / 2], |part| match part {
        0 => {
            let deadline = SystemTime::now() + Duration::from_secs(30);
            while place.count("reload refused") == 0 {
                assert!(SystemTime::now() < deadline, "{}", place.log());
                sleep(Duration::from_millis(20));
            }
        }
        1 => sleep(Duration::from_millis(2_600)),
        _ => {}
    });
    served.wait_for("policy epoch 2");
    assert!(served.stop().success(), "{}", place.log());
    assert_eq!(activated(&place), [digest(&next())]);
    assert_eq!(place.count("reload refused"), 1, "{}", place.log());
    assert!(place.log().contains("the file is damaged or not complete"), "{}", place.log());
}

#[test]
fn a_mounted_folder_whose_link_is_exchanged_is_followed() {
    let place = Place::new();
    let mount = place.path("mount");
    for (version, component) in [("..1", component("phi.wasm")), ("..2", next())] {
        fs::create_dir_all(mount.join(version)).unwrap();
        fs::copy(component, mount.join(version).join("phi.wasm")).unwrap();
    }
    symlink("..1", mount.join("..data")).unwrap();
    symlink("..data/phi.wasm", mount.join("phi.wasm")).unwrap();
    place.write(&place.config(PHI).replace("phi.wasm", "mount/phi.wasm"));
    let mut served = place.serve();
    symlink("..2", mount.join("..data_tmp")).unwrap();
    let saved = SystemTime::now();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    in_force(&mut served, 2, saved, "link of a mounted folder exchanged");
    fs::remove_dir_all(mount.join("..1")).unwrap();
    assert!(served.stop().success(), "{}", place.log());
    assert_eq!(activated(&place), [digest(&next())]);
}

#[test]
fn a_folder_that_tells_nothing_is_looked_at_all_the_same() {
    let place = Place::new();
    // The folder that the link leads to is not watched: no event comes from there, as from a network file system.
    fs::create_dir(place.path("elsewhere")).unwrap();
    fs::rename(place.path("phi.wasm"), place.path("elsewhere/phi.wasm")).unwrap();
    symlink("elsewhere/phi.wasm", place.path("phi.wasm")).unwrap();
    let mut served = place.serve();
    let saved = SystemTime::now();
    place.install(&next(), "elsewhere/phi.wasm");
    in_force(&mut served, 2, saved, "folder without events");
    assert!(served.stop().success(), "{}", place.log());
    assert_eq!(activated(&place), [digest(&next())]);
}

#[test]
fn a_deleted_file_opens_nothing_and_is_fatal_at_start_only() {
    let place = Place::new();
    let mut served = place.serve();
    fs::remove_file(place.path("phi.wasm")).unwrap();
    served.wait_for("phi.wasm cannot be read");
    assert_eq!(place.count("policy epoch 2"), 0);
    assert!(served.stop().success(), "{}", place.log());
    assert!(activated(&place).is_empty());
    assert!(place.refuses().contains("phi.wasm cannot be read"));
}

#[test]
fn settings_that_are_wrong_are_named_with_their_pointer_and_change_nothing() {
    let place = Place::new();
    let good = place.config(PHI);
    let mut served = place.serve();
    place.write(&good.replace("\"safe-harbor\"", "\"safe-harbor\", columns = [\"public.patients.ssn\", 7]"));
    served.wait_for("settings/columns/1: ");
    place.write(&good.replace("profile", "profil"));
    served.wait_for("`profil` is unknown");
    assert_eq!(place.count("policy epoch 2"), 0, "{}", place.log());
    place.write(&good);
    served.wait_for("the files agree again with what is in force");
    assert!(served.stop().success(), "{}", place.log());
    assert!(activated(&place).is_empty());
}

#[test]
fn the_same_bytes_again_are_nothing_new() {
    let place = Place::new();
    let mut served = place.serve();
    place.install(&component("phi.wasm"), "phi.wasm");
    sleep(Duration::from_millis(600));
    fs::write(place.path("phi.wasm"), fs::read(component("phi.wasm")).unwrap()).unwrap();
    sleep(Duration::from_millis(600));
    assert_eq!(place.count("reload"), 0, "{}", place.log());
    place.install(&next(), "phi.wasm");
    served.wait_for("policy epoch 2");
    assert!(served.stop().success(), "{}", place.log());
    assert_eq!(activated(&place), [digest(&next())]);
}

#[test]
fn services_come_into_force_together_with_the_policies_that_may_ask_them() {
    let place = Place::new();
    let with = |name: &str, port: u16| {
        let phi = PHI.replace("settings", &format!("grants = [\"lookup:{name}\"]\nsettings"));
        place.config(&format!("lookups.{name} = {{ url = \"http://127.0.0.1:{port}/{{key}}\" }}\n{phi}"))
    };
    place.write(&with("tickets", 1));
    let mut served = place.serve();
    place.write(&with("wards", 1));
    served.wait_for("policy epoch 2");
    place.write(&with("wards", 2));
    served.wait_for("policy epoch 3; lookups changed");
    place.write(&with("wards", 2).replace("lookup:wards", "lookup:ward"));
    served.wait_for("there is no service `ward` under [lookups]");
    assert!(served.stop().success(), "{}", place.log());
}
