"""C-STORE by pynetdicom's own sender: a series goes on disk, then to the gateway, and survives an outage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from pydicom.dataset import FileDataset
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage, MRImageStorage

from gateway.settings import Settings
from jobstore import keys
from pacs.inbox import Spool
from pacs.listener import Listener, read_senders
from tests.conftest import free_port
from tests.integration.client.conftest import Carrier, Run
from tests.integration.dicomweb.series import slices
from tests.integration.inbox.sending import Sender
from tests.support.hospital import Hospital


@pytest.fixture
def listener(url: str, carrier: Carrier, hospital: Hospital, tmp_path: Path) -> Listener:
    carrier.pause.set()
    return Listener(url, {"SCANNER": hospital.key}, Spool(tmp_path / "spool"))


@pytest.fixture
def port(listener: Listener) -> Iterator[int]:
    port = free_port()
    server = listener.start("127.0.0.1", port)
    yield port
    server.shutdown()


def send(port: int, instances: list[FileDataset], *, title: str = "SCANNER") -> list[int] | None:
    """The status of each C-STORE; None when the association is refused."""
    scanner = AE(ae_title=title)
    scanner.add_requested_context(MRImageStorage)
    scanner.add_requested_context(CTImageStorage)
    association = scanner.associate("127.0.0.1", port)
    if not association.is_established:
        return None
    found = [association.send_c_store(one).Status for one in instances]
    association.release()
    return found


@pytest.mark.privacy
def test_no_name_reaches_the_disk_or_the_gateway(
    listener: Listener, port: int, settings: Settings, hospital: Hospital
) -> None:
    listener.keep = "age,sex"
    send(port, slices("1.2.3.1", PatientAge="093Y", PatientSex="F"))
    spooled = [path.read_bytes() for path in listener.spool.folder.rglob("*.dcm")]
    assert listener.forward() == 20
    with hospital.http(listener.url) as http:
        job = Sender(http).job()
    kept = [path.read_bytes() for path in Path(settings.blobs).rglob("*") if path.is_file()]
    assert len(spooled) == 20
    assert len(kept) == 2
    for data in spooled + kept:
        assert b"canary" not in data.lower()
        assert b"19400101" not in data
    assert job["patient"] == {"age_years": 90, "sex": "F"}


def test_unknown_titles_are_refused(port: int) -> None:
    assert send(port, slices("1.2.3.1", 1), title="STRANGER") is None


def test_other_classes_are_not_negotiated(port: int) -> None:
    scanner = AE(ae_title="SCANNER")
    scanner.add_requested_context(CTImageStorage)
    association = scanner.associate("127.0.0.1", port)
    assert association.accepted_contexts == []
    association.abort()


def test_an_outage_and_a_restart_lose_nothing(listener: Listener, port: int, hospital: Hospital) -> None:
    send(port, slices("1.2.3.1"))
    folder = listener.spool.folder
    away = Listener(f"http://127.0.0.1:{free_port()}", listener.senders, Spool(folder))
    assert away.forward() == 0
    again = Listener(listener.url, listener.senders, Spool(folder))
    assert again.forward() == 20
    with hospital.http(listener.url) as http:
        assert Sender(http).job()["state"] == "queued"


def test_what_is_no_t1_is_dropped_after_its_answer(
    listener: Listener, port: int, redis_client: redis.Redis
) -> None:
    send(port, slices("1.2.3.2", SeriesDescription="t2_flair"))
    assert listener.forward() == 20
    assert redis_client.zcard(keys.jobs_of_site("here")) == 0
    assert listener.spool.is_empty()


def test_what_finds_the_inbox_full_stays_in_the_spool(
    listener: Listener, port: int, settings: Settings, redis_client: redis.Redis
) -> None:
    redis_client.hset(keys.inbox("held", "here"), "instances", settings.inbox.most_instances - 5)
    send(port, slices("1.2.3.1", 6))
    assert listener.forward() == 0
    redis_client.delete(keys.inbox("held", "here"))
    assert listener.forward() == 6


def test_a_full_disk_is_told_to_the_sender(listener: Listener, port: int) -> None:
    listener.spool.folder.parent.mkdir(exist_ok=True)
    listener.spool.folder.write_text("a file where the folder must be")
    assert send(port, slices("1.2.3.1", 1)) == [0xA700]


def test_the_table_of_senders(tmp_path: Path, pacs: Run) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('SCANNER = "hk_x"\nPACS-2 = "hk_y"\n')
    assert read_senders(good) == {"SCANNER": "hk_x", "PACS-2": "hk_y"}
    bad.write_text('"A TITLE/.." = "hk_x"\n')
    with pytest.raises(ValueError, match="AE title"):
        read_senders(bad)
    assert pacs("listen", bad, "--spool", "s").returncode == 2
