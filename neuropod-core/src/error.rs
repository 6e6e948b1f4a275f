//! The one public error of NeuroPod: what kind it is, whether trying again can help, what was being
//! done, and about what. Backends convert their own errors to this one at their border.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// `Result` with NeuroPod's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in the words a caller can act on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input is wrong; [`Error::fields`] may name each wrong part.
    Invalid,
    /// Nobody, or nobody known, is asking.
    Unauthenticated,
    /// Known, but not allowed.
    Forbidden,
    /// The account is suspended.
    Suspended,
    /// There is no such object, or it is somebody else's.
    NotFound,
    /// The object is not in a state that allows this.
    InvalidTransition,
    /// The balance does not cover the hold.
    InsufficientBalance,
    /// Nothing free now.
    NoCapacity,
    /// The GPU is in the price list but not offered.
    GpuUnavailable,
    /// A limit on the number of things is reached.
    QuotaExceeded,
    /// The same idempotency key with other content.
    IdempotencyConflict,
    /// Somebody else changed the row first (a version mismatch, a lost lease).
    Conflict,
    /// A condition of the commit does not hold; nothing was written.
    Condition(Box<crate::store::Condition>),
    /// The backend will never do this as asked.
    Refused(Refusal),
    /// The backend can't do this now, but another run may succeed.
    Retry(RetryCause),
    /// The backend or the store did not answer: nothing is known about the outcome.
    Unreachable,
    /// This backend can't do this at all.
    Unsupported,
    /// A fault of ours.
    Internal,
}

/// Why an orchestrator refuses a workload for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// No registry knows the image.
    ImageNotFound,
    /// The registry does not let us have the image.
    ImageDenied,
    /// The image reference is malformed.
    BadReference,
    /// No disk space for the image or the container.
    NoSpace,
    /// The pod's volume is gone, or is not the one the pod had.
    VolumeLost,
    /// The backend can't express or enforce what the workload asks.
    Spec,
}

/// Why an orchestrator can't run a workload now, while another run of it may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RetryCause {
    /// A host port is taken by somebody else.
    PortTaken,
    /// The container's name is taken by something that is not this run.
    NameTaken,
    /// The device was refused at start.
    GpuAdmission,
    /// No address of a network is free for it.
    NoNetwork,
    /// The backend took it away before it started.
    Evicted,
}

/// One wrong part of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// JSON pointer of the wrong part, `/ports/0`.
    pub pointer: String,
    /// A sentence that says what is wrong with it.
    pub message: String,
}

/// See the module's documentation. Cheap to clone, so that one failed batch can answer all its callers.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    retryable: bool,
    operation: &'static str,
    message: String,
    context: Vec<(&'static str, String)>,
    fields: Vec<FieldError>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a sentence for a person. Retryable if the kind says so by itself
    /// (`Unreachable`, `Conflict`, `Retry`).
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retryable = matches!(
            kind,
            ErrorKind::Unreachable | ErrorKind::Conflict | ErrorKind::Retry(_)
        );
        Self(Arc::new(Inner {
            kind,
            retryable,
            operation: "",
            message: message.into(),
            context: Vec::new(),
            fields: Vec::new(),
            source: None,
        }))
    }

    /// Wrong input that concerns one field.
    pub fn invalid(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid_fields(vec![FieldError {
            pointer: pointer.into(),
            message: message.into(),
        }])
    }

    /// Wrong input, every wrong field named. The message is made of the fields' messages.
    pub fn invalid_fields(fields: Vec<FieldError>) -> Self {
        let message = fields
            .iter()
            .map(|f| f.message.as_str())
            .collect::<Vec<_>>()
            .join(" ");
        Self::new(ErrorKind::Invalid, message).edit(|e| e.fields = fields)
    }

    /// There is no such `what`.
    pub fn not_found(what: &'static str, id: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, format!("There is no {what} {id}.")).with("id", id)
    }

    /// The backend or store did not answer.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unreachable, message)
    }

    /// Somebody else changed `what` first.
    pub fn conflict(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, what)
    }

    /// A fault of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// A condition of a commit that does not hold.
    pub fn condition(condition: crate::store::Condition, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Condition(Box::new(condition)), message)
    }

    fn edit(mut self, f: impl FnOnce(&mut Inner)) -> Self {
        f(Arc::make_mut(&mut self.0));
        self
    }

    /// Names what was being done, `docker create`.
    pub fn during(self, operation: &'static str) -> Self {
        self.edit(|e| e.operation = operation)
    }

    /// Adds one fact. Never a secret.
    pub fn with(self, key: &'static str, value: impl fmt::Display) -> Self {
        self.edit(|e| e.context.push((key, value.to_string())))
    }

    /// Attaches the cause.
    pub fn caused_by(self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.edit(|e| e.source = Some(Arc::new(source)))
    }

    /// Says whether the same call may succeed later.
    pub fn retryable(self, retryable: bool) -> Self {
        self.edit(|e| e.retryable = retryable)
    }

    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// What was being done; empty if nobody said.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The sentence for a person.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Facts about the case.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.0.context
    }

    /// Each wrong part of the input, if that is what it is.
    pub fn fields(&self) -> &[FieldError] {
        &self.0.fields
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.operation.is_empty() {
            write!(f, "{}: ", self.0.operation)?;
        }
        f.write_str(&self.0.message)?;
        if !self.0.context.is_empty() {
            f.write_str(" (")?;
            for (i, (k, v)) in self.0.context.iter().enumerate() {
                write!(f, "{}{k} {v}", if i == 0 { "" } else { ", " })?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}{}: {self}",
            self.0.kind,
            if self.0.retryable { " (retryable)" } else { "" }
        )?;
        let mut source = std::error::Error::source(self);
        while let Some(s) = source {
            write!(f, ": {s}")?;
            source = s.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|s| s as _)
    }
}
