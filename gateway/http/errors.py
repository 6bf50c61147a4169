"""The errors only HTTP knows; all others are in contracts.errors.

RequestError
├── NoSuchPage           404   ├── MethodNotAllowed     405   ├── UnsupportedMediaType 415
├── BodyTooLarge         413   ├── NoPictures           404   ├── EndpointNotFound     404
├── DeliveryNotFound     404   ├── NotAcceptable        406   ├── UploadNotFound       404
├── NoDirectUploads      409   ├── UploadMissing        409   ├── UploadUsed           409
├── TooManyEndpoints     409   ├── TooManyBatches       409   ├── Malformed            400
├── TooSlow              408   ├── HeadTooLarge         431   ├── StudyNotFound        404
└── KeyReused            422   (and Unavailable: StreamsBusy, SandboxBusy, ServerBusy 503)
"""

from __future__ import annotations

from contracts.errors import Gone, JobNotFound, RequestError, Unavailable

NO_JOB = (JobNotFound, Gone)
"""What calls about one job raise when the site has none of this id, or none any more."""


class NoSuchPage(RequestError):
    """Nothing lives at this address."""

    code = "request.not_found"
    title = "No such address"
    status = 404


class ModelNotFound(RequestError):
    """No model of this name, or none that has told its card yet."""

    code = "model.not_found"
    title = "No such model"
    status = 404


class MethodNotAllowed(RequestError):
    """The address exists, but not for this HTTP method; `Allow` lists those it takes."""

    code = "request.method_not_allowed"
    title = "The method is not allowed here"
    status = 405


class StudyNotFound(RequestError):
    """Nothing of this study is collected for the site, and no job was made of it."""

    code = "study.not_found"
    title = "No such study"
    status = 404


class NotAcceptable(RequestError):
    """The caller accepts none of the formats the answer comes in."""

    code = "request.not_acceptable"
    title = "No acceptable format"
    status = 406


class UnsupportedMediaType(RequestError):
    """The body is declared as a type this call does not take."""

    code = "request.unsupported_media_type"
    title = "The content type is not accepted"
    status = 415


class BodyTooLarge(RequestError):
    """The JSON body of a control call is over 64 KiB."""

    code = "request.too_large"
    title = "The request body is too large"
    status = 413


class NoPictures(RequestError):
    """There is no such slice, or the stored pictures of this job are no longer kept."""

    code = "result.no_pictures"
    title = "No such picture"
    status = 404


class EndpointNotFound(RequestError):
    """The site has no webhook endpoint with this id."""

    code = "webhook.endpoint_not_found"
    title = "No such webhook endpoint"
    status = 404


class TooManyEndpoints(RequestError):
    """The site has as many webhook endpoints as a site may have."""

    code = "webhook.too_many_endpoints"
    title = "The site has too many webhook endpoints"
    status = 409


class TooManyBatches(RequestError):
    """The site has as many batches without a job as a site may have."""

    code = "batch.too_many_unused"
    title = "The site has too many batches without a job"
    status = 409


class DeliveryNotFound(RequestError):
    """The site has no webhook delivery with this id."""

    code = "webhook.delivery_not_found"
    title = "No such webhook delivery"
    status = 404


class KeyReused(RequestError):
    """The idempotency key was used before, with another payload."""

    code = "request.key_reused"
    title = "The idempotency key belongs to another request"
    status = 422


class NoDirectUploads(RequestError):
    """The volumes of this installation lie in no bucket that callers could write to."""

    code = "upload.not_offered"
    title = "Direct uploads are not offered here"
    status = 409


class UploadNotFound(RequestError):
    """The site has no open upload with this id, or its half hour is over."""

    code = "upload.not_found"
    title = "No such upload"
    status = 404


class UploadMissing(RequestError):
    """The upload was opened, but its volume has not arrived."""

    code = "upload.missing"
    title = "The volume has not arrived"
    status = 409


class UploadUsed(RequestError):
    """The upload is another job's already."""

    code = "upload.used"
    title = "The upload was submitted before"
    status = 409


class SandboxBusy(Unavailable):
    """As many uploads are read as this installation, or one site, may have read at once."""

    code = "unavailable.sandbox"
    title = "Too many uploads are being read"


class StreamsBusy(Unavailable):
    """As many callers follow jobs as this installation serves at once."""

    code = "unavailable.streams"
    title = "Too many event streams are open"


class ServerBusy(Unavailable):
    """All request threads, places or connections are taken; the site that holds most waits first."""

    code = "unavailable.busy"
    title = "The server is busy"


class TooSlow(RequestError):
    """The body came more slowly than 16 KiB a second, after ten seconds of grace."""

    code = "request.too_slow"
    title = "The request came too slowly"
    status = 408


class Malformed(RequestError):
    """The bytes are not an HTTP/1.1 request; nothing of them is repeated in the answer or in a log."""

    code = "request.malformed"
    title = "The request is not valid HTTP"
    status = 400


class HeadTooLarge(RequestError):
    """The request line and header fields are over 16 KiB, or there are more than 64 fields."""

    code = "request.head_too_large"
    title = "The request head is too large"
    status = 431
