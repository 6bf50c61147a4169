"""STOW-RS by a DICOMweb client of others: T1 series become jobs, the rest is answered with a reason."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pydicom
import pytest
import redis
from dicomweb_client.api import DICOMwebClient
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, JPEGLSLossless
from requests.exceptions import HTTPError

from contracts.states import Stage
from gateway.settings import Settings
from jobstore import keys
from jobstore.store import JobStore
from preprocessing_service.steps.read import read
from tests.hostile.dicom_files import bottomless, deflated_bomb, enhanced, image
from tests.integration.client.conftest import Carrier
from tests.integration.dicomweb.series import CANARY, encoded, slices
from tests.integration.inbox.sending import Sender
from tests.support.hospital import Hospital
from tests.support.waiting import eventually

T1, T2, LOCALISER = "1.2.3.1", "1.2.3.2", "1.2.3.3"


@pytest.fixture
def http(url: str, hospital: Hospital) -> Iterator[httpx.Client]:
    """Sends the hospital's key."""
    with hospital.http(url) as client:
        yield client


@pytest.fixture
def pacs(url: str, carrier: Carrier, hospital: Hospital) -> Iterator[DICOMwebClient]:
    """The sender; nothing moves on, so that what was stored can be looked at."""
    carrier.pause.set()
    client = DICOMwebClient(f"{url}/dicom-web", headers=hospital.headers)
    yield client
    client._session.close()


@pytest.fixture
def inputs(http: httpx.Client, settings: Settings) -> Callable[[], list[Path]]:
    """The uploads of the jobs that the study became, which is said to be whole."""

    def found() -> list[Path]:
        Sender(http).close()
        Sender(http).job()
        return [path for path in Path(settings.blobs).rglob("inputs/**/*") if path.is_file()]

    return found


def test_one_job_a_study(http: httpx.Client, pacs: DICOMwebClient, redis_client: redis.Redis) -> None:
    few = slices(LOCALISER, 3)
    sent = slices(T1) + slices(T2, SeriesDescription="t2_tse_tra", EchoTime=90) + few
    answer = pacs.store_instances(sent)
    stored = {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence}
    assert stored == {f"{T1}.{n}" for n in range(1, 21)} | {one.SOPInstanceUID for one in few}
    (where,) = {item.RetrieveURL for item in answer.ReferencedSOPSequence}
    reasons = {
        item.ReferencedSOPInstanceUID: (item.FailureReason, item.TextValue)
        for item in answer.FailedSOPSequence
    }
    assert reasons[f"{T2}.1"] == (0x0122, "ignored: another contrast than plain T1 (named 't2')")
    Sender(http).job()
    found = http.get(urlsplit(where).path).json()  # this client's Host header has no port
    assert [one["state"] for one in found["jobs"]] == ["queued"]
    assert JobStore(redis_client).depth(Stage.PREPROCESS) == 1


def test_preprocessing_reads_what_is_stored(pacs: DICOMwebClient, inputs: Callable[[], list[Path]]) -> None:
    pacs.store_instances(slices(T1))
    (stored,) = inputs()
    volume = read(stored)
    assert volume.shape == (20, 16, 12)
    assert volume.source is not None
    assert (volume.source.study, volume.source.series) == ("1.2.3", T1)


def test_nothing_that_names_a_person_is_stored(
    pacs: DICOMwebClient, inputs: Callable[[], list[Path]], settings: Settings
) -> None:
    pacs.store_instances(slices(T1))
    (stored,) = inputs()
    kept = [path.read_bytes() for path in Path(settings.blobs).rglob("*") if path.is_file()]
    assert len(kept) == 2
    for data in kept:
        for word in (b"Canary", b"CANARY", CANARY.encode(), b"19400101", b"20261122"):
            assert word not in data
    with zipfile.ZipFile(stored) as archive:
        assert archive.namelist()[0] == "00001.dcm"
        pixels = pydicom.dcmread(archive.open("00001.dcm")).pixel_array
    assert pixels.tobytes() in {one.PixelData for one in slices(T1)}


def test_the_same_series_in_another_order_is_the_same_input(
    http: httpx.Client, pacs: DICOMwebClient, redis_client: redis.Redis
) -> None:
    for count, sent in enumerate((slices(T1), slices(T1)[::-1]), start=1):
        pacs.store_instances(sent)
        Sender(http).close()
        Sender(http).job(count=count)
        http.delete("/dicom-web/studies/1.2.3").raise_for_status()
    job_store = JobStore(redis_client)
    digests = {
        job_store.get(job_id).text("content_digest")
        for job_id in redis_client.zrange(keys.jobs_of_site("here"), 0, -1)
    }
    assert (redis_client.zcard(keys.jobs_of_site("here")), len(digests)) == (2, 1)


def test_t1_by_its_times_alone(pacs: DICOMwebClient) -> None:
    unnamed = slices(T1, SeriesDescription="head", RepetitionTime=9.8, EchoTime=4.6, ScanningSequence="GR")
    assert "ReferencedSOPSequence" in pacs.store_instances(unnamed)


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({"Modality": "CT"}, "modality CT"),
        ({"SeriesDescription": "MPRAGE post Gad"}, "contrast agent"),
        (
            {"SeriesDescription": "x", "EchoTime": 80, "RepetitionTime": 5000, "ScanningSequence": "SE"},
            "TE 80",
        ),
    ],
)
def test_nothing_for_us_is_409(pacs: DICOMwebClient, url: str, about: dict[str, object], why: str) -> None:
    with pytest.raises(HTTPError) as caught:
        pacs.store_instances(slices(T1, **about))
    assert caught.value.response.status_code == 409
    answer = pydicom.Dataset.from_json(caught.value.response.text)
    assert why in answer.FailedSOPSequence[0].TextValue


@pytest.mark.inputs
def test_a_site_may_allow_contrast_agents(pacs: DICOMwebClient, redis_client: redis.Redis) -> None:
    redis_client.hset(keys.site("here"), "allow_contrast", 1)
    answer = pacs.store_instances(slices(T1, ContrastBolusAgent="Gadovist"))
    assert len(answer.ReferencedSOPSequence) == 20


@pytest.mark.inputs
def test_of_two_t1_series_of_a_study_one_is_read_and_the_other_listed(
    pacs: DICOMwebClient, inputs: Callable[[], list[Path]]
) -> None:
    answer = pacs.store_instances(slices(T1) + slices("1.2.3.8", 24, SeriesDescription="t1 +c"))
    assert {item.ReferencedSOPInstanceUID.rpartition(".")[0] for item in answer.ReferencedSOPSequence} == {T1}
    assert "contrast agent" in answer.FailedSOPSequence[0].TextValue
    (stored,) = inputs()
    found = read(stored).series
    assert found is not None
    assert [(one.code, one.images) for one in found.passed_over] == [("contrast_agent", 24)]


def test_another_study_is_refused(pacs: DICOMwebClient) -> None:
    with pytest.raises(HTTPError) as caught:
        pacs.store_instances(slices(T1), study_instance_uid="1.2.4")
    answer = pydicom.Dataset.from_json(caught.value.response.text)
    assert answer.FailedSOPSequence[0].FailureReason == 0xA900


def post(
    http: httpx.Client,
    parts: list[bytes],
    kind: str = 'multipart/related; type="application/dicom"',
    keep: str = "",
) -> httpx.Response:
    body = (
        b"".join(b"--B\r\nContent-Type: application/dicom\r\n\r\n" + one + b"\r\n" for one in parts)
        + b"--B--"
    )
    headers = {"Content-Type": f"{kind}; boundary=B", "Accept": "application/dicom+json"}
    headers |= {"Hippocamp-Keep": keep} if keep else {}
    return http.post("/dicom-web/studies", content=body, headers=headers)


@pytest.mark.filterwarnings("ignore:End of file reached:UserWarning")
def test_broken_instances_beside_good_ones(http: httpx.Client, carrier: Carrier) -> None:
    carrier.pause.set()
    good = [encoded(one) for one in slices(T1)]
    broken = [b"", b"no dicom", good[0][:200], b"\0" * 128 + b"DICM" + b"\xff" * 500]
    answer = post(http, broken + good)
    assert answer.status_code == 202
    data = pydicom.Dataset.from_json(answer.text)
    assert len(data.ReferencedSOPSequence) == 20
    assert {item.FailureReason for item in data.OtherFailuresSequence} == {0xC000}


def test_while_no_job_may_wait_a_study_does(
    http: httpx.Client, pacs: DICOMwebClient, redis_client: redis.Redis
) -> None:
    """What is collected stays collected; more is not taken, which its sender is told."""
    redis_client.hset(keys.site("here"), "most_waiting", 1)
    pacs.store_instances(slices(T1))
    pacs.store_instances(slices("1.2.3.9", StudyInstanceUID="1.2.4"))
    sender = Sender(http)
    eventually(lambda: redis_client.zcard(keys.jobs_of_site("here")) == 1)
    eventually(lambda: "quota.exceeded" in str(sender.collected()))
    assert post(http, [encoded(slices("1.2.3.10", 1)[0])]).status_code == 429
    redis_client.hset(keys.site("here"), "most_waiting", 2)
    eventually(lambda: redis_client.zcard(keys.jobs_of_site("here")) == 2)


def test_compressed_and_multi_frame_instances_are_taken(http: httpx.Client, carrier: Carrier) -> None:
    carrier.pause.set()
    packed = slices(T1)
    for one in packed:
        one.compress(JPEGLSLossless)
    assert post(http, [encoded(one) for one in packed]).status_code == 200
    assert post(http, [image(0, t1_enhanced)]).status_code == 200
    baseline = slices(T2)
    for one in baseline:
        one.file_meta.TransferSyntaxUID, one.PixelData = JPEGBaseline8Bit, encapsulate([b"\xff\xd8"])
    assert post(http, [encoded(one) for one in baseline]).status_code == 409


def t1_enhanced(data: pydicom.Dataset, k: int) -> None:
    """All frames in one instance."""
    enhanced(data, k)
    data.SeriesDescription = "t1_mprage"


@pytest.mark.hostile
def test_bombs_and_bottomless_headers_are_answered(
    http: httpx.Client, carrier: Carrier, tmp_path: Path
) -> None:
    carrier.pause.set()
    bad = []
    for make in (deflated_bomb, bottomless):
        make(tmp_path / "zip")
        with zipfile.ZipFile(tmp_path / "zip") as archive:
            bad += [archive.read(name) for name in archive.namelist()]
    good = [encoded(one) for one in slices(T1)]
    answer = post(http, bad + good)
    assert answer.status_code in {200, 202}
    assert len(pydicom.Dataset.from_json(answer.text).ReferencedSOPSequence) == 20


def test_age_and_sex_are_noted_when_asked_for(http: httpx.Client, carrier: Carrier) -> None:
    carrier.pause.set()
    found = []
    for study, keep in (("1.2.3", ""), ("1.2.4", "age")):
        sent = slices(f"{study}.1", StudyInstanceUID=study, PatientAge="071Y", PatientSex="M")
        assert post(http, [encoded(one) for one in sent], keep=keep).status_code == 200
        found.append(Sender(http).job(study=study)["patient"])
    assert found == [None, {"age_years": 71, "sex": None}]


def test_wrong_requests_are_problems(http: httpx.Client) -> None:
    assert post(http, [], kind="multipart/form-data").json()["code"] == "request.unsupported_media_type"
    assert post(http, [], kind='multipart/related; type="text/html"').status_code == 415
    assert post(http, []).status_code == 409
    cut = http.post(
        "/dicom-web/studies",
        content=b"--B\r\nContent-Type: application/dicom\r\n\r\nxxx",
        headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=B'},
    )
    assert (cut.status_code, cut.json()["code"]) == (400, "request.bad_value")
