//! The command line: what can be typed, nothing more.
//!
//! Never reads a file. Completions and the manual page are made from the same definition.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::domain::selector::duration;

/// Which image every running instance really runs, and the way back.
#[derive(Debug, Parser)]
#[command(name = "rolldeck", version, about, max_term_width = 100, infer_subcommands = false)]
#[command(after_help = "Without a command the cockpit opens. `rolldeck demo` tries it on a simulated fleet.")]
pub struct Cli {
    /// What all commands understand.
    #[command(flatten)]
    pub options: Options,
    /// What to do; nothing opens the cockpit.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What all commands understand.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Configuration file [default: $XDG_CONFIG_HOME/rolldeck/config.toml]
    #[arg(long, global = true, value_name = "FILE", env = "ROLLDECK_CONFIG")]
    pub config: Option<PathBuf>,
    /// Kubeconfig file, before $KUBECONFIG
    #[arg(long, global = true, value_name = "FILE", env = "ROLLDECK_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// Only these contexts of the kubeconfig
    #[arg(long, global = true, value_name = "NAME", env = "ROLLDECK_CONTEXT", value_delimiter = ',')]
    pub context: Vec<String>,
    /// All contexts of the kubeconfig
    #[arg(long, global = true, env = "ROLLDECK_ALL_CONTEXTS")]
    pub all_contexts: bool,
    /// Only the places whose id matches this glob
    #[arg(long, global = true, value_name = "ID", env = "ROLLDECK_PLACE", value_delimiter = ',')]
    pub place: Vec<String>,
    /// Make no request that changes anything, whatever is typed
    #[arg(long, global = true, env = "ROLLDECK_READ_ONLY")]
    pub read_only: bool,
    /// Where journal and log are kept [default: $XDG_STATE_HOME/rolldeck]
    #[arg(long, global = true, value_name = "DIR", env = "ROLLDECK_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t, env = "ROLLDECK_OUTPUT")]
    pub output: Output,
    /// Whether colours are used; NO_COLOR counts too
    #[arg(long, global = true, value_enum, default_value_t, env = "ROLLDECK_COLOR")]
    pub color: Color,
    /// A theme: default, mono, or a file
    #[arg(long, global = true, value_name = "THEME", env = "ROLLDECK_THEME")]
    pub theme: Option<String>,
    /// A keymap: default, or a file
    #[arg(long, global = true, value_name = "KEYMAP", env = "ROLLDECK_KEYMAP")]
    pub keymap: Option<String>,
    /// How long to wait for places before answering with what there is
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = time, env = "ROLLDECK_TIMEOUT")]
    pub timeout: Duration,
    /// The incident that new operations belong to
    #[arg(long, global = true, value_name = "ID", env = "ROLLDECK_INCIDENT")]
    pub incident: Option<String>,
    /// Use a simulated fleet instead of real places
    #[arg(long, global = true, value_name = "SCENARIO", env = "ROLLDECK_DEMO")]
    pub demo: Option<String>,
    /// Log more (twice: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// One JSON object, for scripts.
    Json,
    /// Markdown, for incident channels.
    Markdown,
}

/// Whether colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// Where the terminal is one and NO_COLOR is not set.
    #[default]
    Auto,
    /// Even so.
    Always,
    /// Not at all.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a helper that gets credentials, away from the terminal
    #[command(name = super::credential_process::NAME, hide = true)]
    CredentialProcess {
        /// As AWS's files have it
        command: String,
    },
    /// Run a program away from the terminal
    #[command(name = super::away::NAME, hide = true)]
    Away {
        /// The program and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Open the cockpit on a simulated fleet
    Demo {
        /// Which one
        #[arg(default_value = "bad-release")]
        scenario: String,
        /// List the scenarios
        #[arg(long)]
        list: bool,
    },
    /// Print what is not ok; exits with 1 if something is off
    Drift(Filter),
    /// Print every workload
    Fleet(Filter),
    /// Print every instance and container
    Instances(Filter),
    /// Print the places and how they answer
    Places,
    /// Print running and finished operations
    Operations,
    /// Make a plan; it changes nothing
    #[command(subcommand)]
    Plan(PlanCommand),
    /// Start a plan and follow it to its end
    Apply {
        /// The plan
        plan: String,
        /// The code that the plan printed
        #[arg(long)]
        code: String,
    },
    /// Follow an operation to its end
    Watch {
        /// The operation
        operation: String,
    },
    /// Hold an operation: no new step, brakes on
    Pause {
        /// The operation
        operation: String,
    },
    /// Go on with a held or interrupted operation, and follow it to its end
    Resume {
        /// The operation
        operation: String,
        /// The new code, after the plan moved
        #[arg(long)]
        code: Option<String>,
    },
    /// Stop an operation where it is, and follow it to its end
    Abort {
        /// The operation
        operation: String,
        /// Go back as well, and end when that has ended
        #[arg(long = "return")]
        go_back: bool,
    },
    /// Print one service side by side: which places run which image, and which should
    Compare {
        /// The service, by its name
        service: String,
        /// Instead, how two of its versions differ, field by field: what two places ask for (PLACE, PLACE/NAMESPACE/NAME), or what
        /// they had (PLACE@VERSION)
        #[arg(long, num_args = 2, value_names = ["PLACE", "PLACE"])]
        between: Vec<String>,
    },
    /// Print what changed where and when, and who did it
    Timeline {
        /// What is selected
        #[command(flatten)]
        filter: Filter,
        /// Only what happened within this time before now: 1h, 2d
        #[arg(long, value_name = "TIME", value_parser = time)]
        since: Option<Duration>,
        /// Ask the audit logs of places who asked for each change, where that is granted (AWS: cloudtrail:LookupEvents)
        #[arg(long)]
        audit: bool,
    },
    /// Lock workloads: no plan operates them; without a selector, print what is locked and quarantined
    Lock {
        /// `svc:checkout place:k8s/prod-*`; a word without a key is one service's name
        selector: Vec<String>,
        /// Why, and until when
        #[command(flatten)]
        why: Why,
    },
    /// Lift a lock
    Unlock {
        /// Its number, or its selector as it was written
        lock: Vec<String>,
    },
    /// Put drift off that somebody knows of: it is shown last, and `drift` does not end with 1 for it
    Snooze {
        /// `svc:checkout place:k8s/prod-*`; a word without a key is one service's name
        #[arg(required = true)]
        selector: Vec<String>,
        /// Why, and until when
        #[command(flatten)]
        why: Why,
    },
    /// No longer
    Unsnooze {
        /// Its number, or its selector as it was written
        snooze: Vec<String>,
    },
    /// Write a debt off that can't be given back any more, because what it is owed to is gone
    WriteOff {
        /// The operation that owes it
        operation: String,
        /// Why: others will read it
        #[arg(long)]
        reason: String,
    },
    /// Ban an image: where it runs it is off, and no plan goes back to it by itself
    Quarantine {
        /// A digest or its first eight digits or more, a machine image, a whole reference
        image: String,
        /// Why, and until when
        #[command(flatten)]
        why: Why,
    },
    /// Lift a ban
    Unquarantine {
        /// Its number, or its image as it was written
        image: String,
    },
    /// What a version is, place by place
    #[command(subcommand)]
    Release(ReleaseCommand),
    /// Write an incident down, as Markdown and JSON: what is off, what changed, operations and their plans
    Export {
        /// What happened within this time before now: 1h, 2d
        #[arg(long, value_name = "TIME", value_parser = time, default_value = "24h")]
        since: Duration,
        /// Where the two files are written
        #[arg(long, value_name = "DIR", default_value = ".")]
        directory: std::path::PathBuf,
        /// Ask the audit logs of places who asked for each change, where that is granted (AWS: cloudtrail:LookupEvents)
        #[arg(long)]
        audit: bool,
    },
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print shell completions
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// A filter, as on the screens.
#[derive(Args, Debug)]
pub struct Filter {
    /// `svc:checkout place:k8s/prod-* state:drift …`; a word without a key is fuzzy
    pub selector: Vec<String>,
}

/// Which plan to make.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Bring the selected workloads to what they should run
    Replace {
        /// What is selected
        #[command(flatten)]
        target: PlanTarget,
        /// The N oldest instances of each workload that is selected, whatever they run
        #[arg(long, value_name = "N", conflicts_with = "random", value_parser = clap::value_parser!(u32).range(1..))]
        oldest: Option<u32>,
        /// N instances of each workload that is selected, by chance, whatever they run
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        random: Option<u32>,
    },
    /// Go back to the last good version, or to the one named
    Rollback {
        /// What is selected
        #[command(flatten)]
        target: PlanTarget,
        /// To this image: a reference, a tag, or the start of a digest
        #[arg(long, value_name = "IMAGE", conflicts_with = "to_revision")]
        to: Option<String>,
        /// To the revision of this number
        #[arg(long, value_name = "N")]
        to_revision: Option<u64>,
        /// Change only the image, not the rest of the template
        #[arg(long)]
        image_only: bool,
    },
    /// Give back what an operation has suspended or held beside its workloads
    GiveBack {
        /// Which one
        operation: String,
        /// How long the plan waits for its code, up to 60m
        #[arg(long, value_name = "TIME", default_value = "10m", value_parser = valid)]
        valid: Duration,
    },
    /// Let go on what waits at a step of its own (an Argo Rollout), or begin again what was aborted
    Promote {
        /// What is selected
        #[command(flatten)]
        target: PlanTarget,
        /// To the end, without the steps and the analysis between
        #[arg(long)]
        full: bool,
    },
    /// Go back to what was asked for before an operation
    Reverse {
        /// Which one
        operation: String,
        /// How long the plan waits for its code, up to 60m
        #[arg(long, value_name = "TIME", default_value = "10m", value_parser = valid)]
        valid: Duration,
    },
}

/// What a plan is about.
#[derive(Args, Debug)]
pub struct PlanTarget {
    /// `svc:checkout place:k8s/prod-*`; a word without a key is one service's name
    #[arg(required = true)]
    pub selector: Vec<String>,
    /// The container meant
    #[arg(long, value_name = "C")]
    pub container: Option<String>,
    /// Several namespaces of a place and several kinds of workload are meant
    #[arg(long)]
    pub wide: bool,
    /// How long the plan waits for its code, up to 60m
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = valid)]
    pub valid: Duration,
    /// Short bakes and no watch at the end: for an incident
    #[arg(long)]
    pub fast: bool,
    /// Suspend who would undo it (Argo CD, Flux): owed until it is given back, or given back by the last step
    #[arg(long, value_name = "UNTIL", num_args = 0..=1, default_missing_value = "until-given-back")]
    pub suspend: Option<SuspendArg>,
    /// Replace twice as many at once for each step up, half as many for each step down: its strategy is changed first, and given back
    #[arg(long, value_name = "STEPS", default_value_t = 0, allow_negative_numbers = true, value_parser = clap::value_parser!(i8).range(-4..=4))]
    pub at_once: i8,
    /// Why it goes to an image that is quarantined, or moves on in a freeze: without a reason it does not
    #[arg(long)]
    pub reason: Option<String>,
    /// Leave the minimum of autoscalers as it is meanwhile
    #[arg(long)]
    pub leave_minimum: bool,
}

/// Until when those are suspended who would undo a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SuspendArg {
    /// Until somebody gives it back: `plan give-back OPERATION`, or D
    UntilGivenBack,
    /// Until the last step of the plan gives it back
    UntilDone,
}

/// Why something is protected.
#[derive(Args, Debug)]
pub struct Why {
    /// Why: others will read it
    #[arg(long)]
    pub reason: Option<String>,
    /// For how long: 4h, 2d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = time)]
    pub expires: Duration,
}

/// What to do with releases.
#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// Write down what versions are: from a release file, Packer's manifest, an image of EC2 Image Builder, `terraform show
    /// -json`, a template of CloudFormation, a rendered Kubernetes manifest or a compose file
    Add {
        /// The files
        #[arg(required = true)]
        files: Vec<std::path::PathBuf>,
        /// The service, where a file does not say
        #[arg(long)]
        service: Option<String>,
        /// The version, where a file does not say
        #[arg(long)]
        version: Option<String>,
        /// Globs over place ids, instead of what a file says
        #[arg(long, value_delimiter = ',')]
        places: Vec<String>,
    },
    /// Which release each place runs and should run, and how far behind the newest it is
    List {
        /// `svc:checkout place:k8s/prod-* …`; a word without a key must be a service
        service: Vec<String>,
    },
    /// Take a version away again
    Remove {
        /// The service
        service: String,
        /// The version
        version: String,
    },
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every fault with file, line and column
    Check,
    /// Print the configuration in force with the origin of each value
    Show,
}

fn time(raw: &str) -> Result<Duration, String> {
    duration(raw).map_err(|error| error.to_string())
}

fn valid(raw: &str) -> Result<Duration, String> {
    let valid = time(raw)?;
    if valid > Duration::from_secs(3600) { Err("a plan is valid for 60m at most".to_string()) } else { Ok(valid) }
}
