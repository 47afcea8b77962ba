use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_cluster_starts_asks_for_scram_stops_and_starts_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let place = dir.path().join("pg");
    let cluster = Cluster::start(&place, &Options::default()).expect("first start");
    assert!(cluster.is_fresh());
    assert_eq!(cluster.sql("postgres", "show password_encryption").expect("asks"), "scram-sha-256");
    cluster.sql("postgres", "create table kept as select 7 as seven").expect("creates");

    let denied = cluster.psql_as(SUPERUSER, "wrong", "postgres").args(["-c", "select 1"]).output().expect("psql runs");
    assert!(!denied.status.success(), "a wrong password logs in");
    let second = Cluster::start(&place, &Options::default()).expect_err("the directory is in use");
    assert!(second.to_string().contains("in use"), "{second:#}");

    let address = cluster.address();
    cluster.stop().expect("stops");
    assert!(TcpStream::connect(address).is_err(), "the server still listens");

    let again = Cluster::start(&place, &Options::default()).expect("second start");
    assert!(!again.is_fresh());
    assert_eq!(again.address(), address, "the port of last time is taken again");
    assert_eq!(again.sql("postgres", "select seven from kept").expect("asks"), "7");
}

#[test]
fn a_directory_that_the_server_cannot_reach_keeps_its_data_elsewhere() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).expect("closes it");
    let place = dir.path().join("pg");
    let cluster = Cluster::start(&place, &Options::default()).expect("starts");
    cluster.sql("postgres", "create table kept as select 7 as seven").expect("creates");
    cluster.stop().expect("stops");
    let again = Cluster::start(&place, &Options::default()).expect("starts again");
    assert_eq!(again.sql("postgres", "select seven from kept").expect("asks"), "7");
    let data = again.data.clone();
    assert!(data.exists());
    again.remove().expect("removes");
    assert!(!data.exists() && !place.exists());
}

#[test]
fn a_directory_of_somebody_else_stays_untouched() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("thesis.txt"), "years of work").expect("writes");
    let error = Cluster::start(dir.path(), &Options::default()).expect_err("not ours");
    assert!(error.to_string().contains("thesis.txt"), "{error:#}");
    assert_eq!(fs::read_to_string(dir.path().join("thesis.txt")).expect("reads"), "years of work");
}
