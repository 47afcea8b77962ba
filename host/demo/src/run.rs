use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clinic::Size;
use crate::cluster::Cluster;
use crate::gateway::own_program;
use crate::layout::Layout;
use crate::tour;
use crate::world::{Plan, World};

/// What `grille demo` was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything of the demo lies.
    pub dir: PathBuf,
    /// Where `phi.wasm` and `sql-guard.wasm` are; a policy whose component is missing is left out, in the open.
    pub components: PathBuf,
    /// Perform the tour and end.
    pub check: bool,
}

/// Runs the demo: until Ctrl-C, or with `check` until the tour's last step. The answer says whether every step held.
///
/// # Errors
/// Something that it needs is not there or does not start; the message says what to do.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<bool> {
    let began = Instant::now();
    let runtime = Runtime::new().context("start the runtime")?;
    let stop = Stop::listen(&runtime)?;
    // A check beside a running demo must not disturb it.
    let is_taken = options.check && Cluster::is_in_use(&cluster_of(&options.dir));
    let dir = if is_taken { options.dir.with_extension("check") } else { options.dir.clone() };
    let plan = Plan {
        grille: own_program()?,
        dir,
        components: options.components.clone(),
        size: Size::FULL,
        fresh_ledger: options.check,
    };
    ensure!(
        plan.components.is_dir(),
        "no components in {}: build them with `cargo xtask components`",
        plan.components.display()
    );
    let mut world = World::start(&plan, runtime.handle(), |what| {
        // Progress is a courtesy: a closed terminal must not stop the demo from stopping what it started.
        drop(writeln!(out, "  starting: {what}"));
        drop(out.flush());
    })?;
    for (name, is_there) in [("phi", world.has_phi), ("sql-guard", world.has_guard)] {
        if !is_there {
            let dir = plan.components.display();
            writeln!(out, "  WITHOUT {name}: there is no {name}.wasm in {dir}; what it protects is open")?;
        }
    }
    if options.check {
        writeln!(out, "  ready after {:.1} s\n", began.elapsed().as_secs_f32())?;
        return tour::perform(&world, &|| stop.is_asked(), out);
    }
    writeln!(out, "{}", card(&world, began.elapsed().as_secs_f32()))?;
    out.flush()?;
    let ended = runtime.block_on(async {
        loop {
            tokio::select! {
                () = stop.asked() => return None,
                () = tokio::time::sleep(std::time::Duration::from_millis(500)) => {
                    if !world.gateway.runs() {
                        return Some(());
                    }
                }
            }
        }
    });
    ensure!(ended.is_none(), "the gateway ended by itself; it said: {}", crate::gateway::tail(&world.layout.log(), 8));
    writeln!(out, "\nstopping")?;
    Ok(true)
}

fn cluster_of(dir: &Path) -> PathBuf {
    Layout { dir: dir.to_owned() }.cluster()
}

/// Ctrl-C or SIGTERM, heard from the first moment on, so that a half-started demo is put away as well.
struct Stop {
    asked: Arc<AtomicBool>,
    wake: Arc<Notify>,
}

impl Stop {
    fn listen(runtime: &Runtime) -> Result<Self> {
        let (asked, wake) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
        let _guard = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let stop = Self { asked: Arc::clone(&asked), wake: Arc::clone(&wake) };
        runtime.spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                asked.store(true, Ordering::Release);
                wake.notify_one();
            }
        });
        Ok(stop)
    }

    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    async fn asked(&self) {
        if !self.is_asked() {
            self.wake.notified().await;
        }
    }
}

/// What to paste, and what each line will show. It fits a screen.
fn card(world: &World, seconds: f32) -> String {
    let (host, port) = (world.listener.ip(), world.listener.port());
    format!(
        "
Grille guards the clinic: {database} behind {listener}   (ready after {seconds:.1} s)

Paste into another terminal:
  G={grille} GRILLE_CONFIG={config}
  export GRILLE_CONFIG
  clinic() {{ who=$1; shift; PGPASSWORD=$($G token --demo $who --dir {dir}) psql -h {host} -p {port} -U $who clinic \"$@\"; }}

  clinic analyst -c 'select * from patients limit 3'           # masked; types, keys and row counts stay
  clinic analyst -c 'select upper(ssn) from patient_overview'  # followed through views and functions
  clinic dba     -c 'select * from patients limit 3'           # no policy binds this role: clear values
  clinic analyst -c 'drop table intake_drafts'                 # refused: reason, decision id; session goes on
  clinic analyst -c 'update patients set reminder_opt_in = true'   # waits for a person: in a third
    export GRILLE_TOKEN=$($G token --demo reviewer --dir {dir})   # terminal, as above
    $G review list;   $G review approve ID --reason 'agreed'   # the statement runs
    $G session list;  $G session replay ID                     # who did what, and what they saw: masked
    $G ledger verify {ledger}

Edit the configuration, or replace a .wasm in plugins/ beside it, while psql is open: the next statement
follows. A bad file changes nothing, and one line in gateway.log says why.
Ctrl-C stops the demo and everything it started.",
        grille = world.grille.display(),
        config = world.layout.config().display(),
        dir = world.layout.dir.display(),
        database = world.cluster.address(),
        listener = world.listener,
        ledger = world.layout.ledger().display(),
    )
}
