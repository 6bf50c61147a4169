"""Every error a caller can meet, with the stable code and HTTP status it is reported under.

HippocampError
├── InputError                 the bytes are not a volume we can read (415/422, never retried)
│   ├── NotAVolume             ├── EmptyFile          ├── TruncatedFile     ├── CorruptFile
│   ├── TooLarge               ├── NotThreeD          ├── BadGeometry       ├── BadVoxels
│   ├── BadSeries          ├── SeveralStudies     ├── ContrastEnhanced  └── IncompleteSeries
├── QualityRefused             readable, but not a T1 head we may answer for (422, never retried)
│   ├── NotAHead  ├── NotT1w  ├── Coverage  ├── RegistrationFailed  ├── Noise  └── OutOfDistribution
├── RequestError               the request itself is at fault (4xx)
│   ├── JobNotFound        ├── BatchNotFound      ├── WrongState        ├── Gone
│   ├── BadRequest         ├── Unauthenticated    ├── Forbidden         ├── QuotaExceeded
│   └── BadCovariate
├── ModelRefused  ├── ModelNotServed  ├── DeliveryFailed  ├── DeadLettered └── DeadlineExpired  how jobs end
├── Misconfigured              a part of the system may not use another (500)
└── Unavailable                a dependency is away (503, retryable)
    ├── StoreUnavailable   ├── DiskNearlyFull   ├── ResourcesExhausted   ├── Backlog
    ├── ModelServerUnavailable   ├── ModelUnknown
    └── JobStoreUnavailable
        ├── JobStoreLoading  ├── JobStoreBusy      ├── JobStoreFull     ├── JobStoreNotSaved
        ├── JobStoreReadOnly ├── JobStoreDegraded  └── NotReplicated
"""

from __future__ import annotations

from typing import ClassVar


class HippocampError(Exception):
    """Base of all errors that reach a user; `detail` holds the bad value and what to do about it."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something failed inside Hippocamp"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, **figures: float | int | str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.figures = figures


class InputError(HippocampError):
    """The uploaded bytes cannot be read as one T1 volume."""

    code = "input.unreadable"
    title = "The file cannot be read as a volume"
    status = 422


class NotAVolume(InputError):
    """No supported format starts with these bytes."""

    code = "input.not_a_volume"
    title = "Not a supported volume format"
    status = 415


class EmptyFile(InputError):
    """The body has no bytes."""

    code = "input.empty"
    title = "The file is empty"


class TruncatedFile(InputError):
    """The file ends before the voxels its header promises."""

    code = "input.truncated"
    title = "The file is incomplete"


class CorruptFile(InputError):
    """A checksum or a structure inside the file is broken."""

    code = "input.corrupt"
    title = "The file is damaged"


class TooLarge(InputError):
    """The body, or what it unpacks to, is over the limit."""

    code = "input.too_large"
    title = "The file is too large"
    status = 413


class NotThreeD(InputError):
    """The image has not exactly three dimensions."""

    code = "input.not_3d"
    title = "The image is not one 3-D volume"


class BadGeometry(InputError):
    """Affine, voxel sizes or dimensions are impossible."""

    code = "input.bad_geometry"
    title = "The volume's geometry is not usable"


class BadVoxels(InputError):
    """The voxels are constant, NaN or of a type that is no intensity."""

    code = "input.bad_voxels"
    title = "The volume's voxels are not usable"


class BadSeries(InputError):
    """The DICOM files do not form one complete, evenly spaced series."""

    code = "input.bad_series"
    title = "The DICOM series is not usable"


class SeveralStudies(InputError):
    """One upload holds images of more than one person or study; nobody may guess which is meant."""

    code = "input.several_studies"
    title = "The upload holds more than one patient or study"


class ContrastEnhanced(InputError):
    """Every T1 series was taken with a contrast agent, which the model has never seen."""

    code = "input.contrast_enhanced"
    title = "Only a contrast-enhanced T1 series was sent"


class IncompleteSeries(InputError):
    """Too little of every T1 series of a study came, and nothing more for as long as it is waited for."""

    code = "input.incomplete_series"
    title = "Images of the series are missing"


class QualityRefused(HippocampError):
    """The volume is readable, but an answer about it would be a guess."""

    code = "quality.refused"
    title = "The volume did not pass the quality gate"
    status = 422


class NotAHead(QualityRefused):
    """No brain of plausible size and shape was found."""

    code = "quality.not_a_head"
    title = "No brain was found"


class NotT1w(QualityRefused):
    """The contrast between tissues is not that of a T1-weighted image."""

    code = "quality.not_t1w"
    title = "The image does not look T1-weighted"


class Coverage(QualityRefused):
    """Part of the brain that the model looks at lies outside the image."""

    code = "quality.coverage"
    title = "The image does not cover the brain"


class RegistrationFailed(QualityRefused):
    """The brain could not be aligned to the template."""

    code = "quality.registration"
    title = "The brain could not be aligned to the template"


class Noise(QualityRefused):
    """Noise drowns the tissue contrast."""

    code = "quality.noise"
    title = "The image is too noisy"


class OutOfDistribution(QualityRefused):
    """The model's features of the volume are too far from all that it was trained on."""

    code = "quality.out_of_distribution"
    title = "The image is unlike all that the model was trained on"


class RequestError(HippocampError):
    """The request cannot be served as it was sent."""

    code = "request.invalid"
    title = "The request is not valid"
    status = 400


class BadRequest(RequestError):
    """A parameter or header has a value we do not take."""

    code = "request.bad_value"
    title = "A value in the request is not accepted"


class BadCovariate(RequestError):
    """Age, sex, education or MMSE is not what the model knows; figure `field` names which."""

    code = "request.bad_covariate"
    title = "A covariate is outside what the model knows"
    status = 422


class JobNotFound(RequestError):
    """No job of this site has this id."""

    code = "job.not_found"
    title = "No such job"
    status = 404


class BatchNotFound(RequestError):
    """No batch of this site has this id."""

    code = "batch.not_found"
    title = "No such batch"
    status = 404


class WrongState(RequestError):
    """The job is not in a state that allows this."""

    code = "job.wrong_state"
    title = "The job is not in the right state"
    status = 409


class Gone(RequestError):
    """The job was erased."""

    code = "job.erased"
    title = "The job was erased"
    status = 410


class Unauthenticated(RequestError):
    """No key, or one that is not in force."""

    code = "auth.required"
    title = "A valid API key or token is needed"
    status = 401


class Forbidden(RequestError):
    """The key is good, but not for this."""

    code = "auth.forbidden"
    title = "The key does not allow this"
    status = 403


class QuotaExceeded(RequestError):
    """The site has used up what it was granted; figure `retry_after_seconds` says when to come again."""

    code = "quota.exceeded"
    title = "The site's quota is used up"
    status = 429
    retryable = True


class Misconfigured(HippocampError):
    """One part of the system does not let another do its work; an operator has to change a setting."""

    code = "internal.configuration"
    title = "Hippocamp is not configured correctly"


class Unavailable(HippocampError):
    """Something we depend on is away; the same call may succeed later."""

    code = "unavailable"
    title = "The service cannot answer now"
    status = 503
    retryable = True


class JobStoreUnavailable(Unavailable):
    """Redis did not answer, so nothing can be accepted or told."""

    code = "unavailable.job_store"
    title = "The job store is away"


class NotReplicated(JobStoreUnavailable):
    """The write is on the master's disk, but a fail-over right now could lose it."""

    code = "unavailable.replicas"
    title = "The job store has too few replicas"


class JobStoreLoading(JobStoreUnavailable):
    """Redis has started and still reads its data from disk."""

    code = "unavailable.job_store_loading"
    title = "The job store is loading its data"


class JobStoreBusy(JobStoreUnavailable):
    """One long command or script holds Redis."""

    code = "unavailable.job_store_busy"
    title = "The job store is busy with one long command"


class JobStoreFull(JobStoreUnavailable):
    """Redis has reached its limit on memory and takes no more writes."""

    code = "unavailable.job_store_full"
    title = "The job store's memory is full"


class JobStoreNotSaved(JobStoreUnavailable):
    """Redis cannot write its disk, so it takes no more writes."""

    code = "unavailable.job_store_disk"
    title = "The job store cannot write its disk"


class JobStoreReadOnly(JobStoreUnavailable):
    """The Redis that was asked is a replica, which happens for a moment after a fail-over."""

    code = "unavailable.job_store_read_only"
    title = "The job store is a read-only replica"


class JobStoreDegraded(JobStoreUnavailable):
    """Redis misses its master, its replicas or a part of its cluster, so it takes no more writes."""

    code = "unavailable.job_store_degraded"
    title = "The job store misses a part of itself"


class StoreUnavailable(Unavailable):
    """The blob store did not take or give the bytes."""

    code = "unavailable.blobs"
    title = "The blob store is away"


class DiskNearlyFull(StoreUnavailable):
    """So little of a disk is free that Redis needs it for what was accepted; figure `disk` names it."""

    code = "unavailable.disk"
    title = "The disk is nearly full"


class Backlog(Unavailable):
    """More jobs wait than this installation takes in."""

    code = "unavailable.backlog"
    title = "Too many jobs are waiting"


class ResourcesExhausted(StoreUnavailable):
    """This machine has no file descriptor, process or memory left: it cannot even ask the store."""

    code = "unavailable.resources"
    title = "The server has no file descriptor, process or memory left"


class ModelServerUnavailable(Unavailable):
    """TorchServe refused, timed out or died."""

    code = "unavailable.model_server"
    title = "The model server is away"


class ModelUnknown(ModelServerUnavailable):
    """TorchServe answers, but with a model whose digest is not on the list; nothing it says is kept."""

    code = "unavailable.model_unknown"
    title = "The model server runs a model that is not known here"


class ModelRefused(HippocampError):
    """The model server, proved to work, does not take this one stack."""

    code = "model.refused"
    title = "The model could not score the volume"
    retryable = True


class ModelNotServed(ModelRefused):
    """The job names a model that no server serves at present."""

    code = "model.not_served"
    title = "The model that the job names is not served"


class DeliveryFailed(HippocampError):
    """A webhook was not accepted by its receiver, or must not be sent to it."""

    code = "webhook.failed"
    title = "The webhook was not delivered"


class DeadLettered(HippocampError):
    """The job took down its worker on every attempt it was given."""

    code = "job.dead_lettered"
    title = "The job failed every attempt"


class DeadlineExpired(HippocampError):
    """The job was not finished before its deadline."""

    code = "deadline.expired"
    title = "The job ran out of time"
