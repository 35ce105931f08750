"""Captions as text: changed by the hundred with a preview, and as files beside pictures in the folders and ZIPs of other programs."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from studio.captions import (
    CaptionPreview,
    add_prefix,
    add_suffix,
    add_trigger,
    count_tags,
    deduplicate_tags,
    find_and_replace,
    read_caption,
    remove_tag,
    replace_tag,
    write_caption,
)
from studio.dataset_files import DatasetFolder, DatasetZip, Layout, arrange, kohya_name, pack
from studio.errors import Conflict, ContractMismatch, FileTooLarge, InvalidFieldValue, MissingRequiredField, NotFound

CAPTIONS = {
    "a": "zxmia, Red coat, street at night",
    "b": "zxmia, red coat, red coat, smiling",
    "c": "",
    "d": "zxmia sits in a café.",
}


def after(preview: CaptionPreview) -> dict[str, str]:
    return {change.id: change.after for change in preview.changes}


# Many at once


def test_a_preview_holds_only_what_differs_and_can_be_taken_back() -> None:
    preview = find_and_replace(CAPTIONS, "red coat", "blue dress")
    assert after(preview) == {"a": "zxmia, blue dress, street at night", "b": "zxmia, blue dress, blue dress, smiling"}

    changed = CAPTIONS | preview.apply(CAPTIONS)
    assert changed["d"] == CAPTIONS["d"]
    assert changed | preview.undo(changed) == CAPTIONS
    # It goes to the page and comes back.
    assert CaptionPreview.model_validate_json(preview.model_dump_json()) == preview


def test_a_preview_is_not_applied_to_captions_that_changed_meanwhile() -> None:
    preview = add_suffix(CAPTIONS, "film grain")
    with pytest.raises(Conflict, match="A caption was changed"):
        preview.apply(CAPTIONS | {"a": "somebody else was here"})
    with pytest.raises(Conflict, match="4 captions"):
        preview.undo(CAPTIONS)
    with pytest.raises(Conflict):
        preview.apply({name: text for name, text in CAPTIONS.items() if name != "c"})


@pytest.mark.parametrize(
    ("find", "replace", "how", "wanted"),
    [
        ("Red", "green", {"case": True}, {"a": "zxmia, green coat, street at night"}),
        ("co", "x", {"words": True}, {}),
        ("coat", "hat", {"words": True}, {"a": "zxmia, Red hat, street at night", "b": "zxmia, red hat, red hat, smiling"}),
        # What stands between words goes with what is taken out.
        ("red coat", "", {}, {"a": "zxmia, street at night", "b": "zxmia, smiling"}),
        ("café", r"\1 (bar)", {}, {"d": r"zxmia sits in a \1 (bar)."}),
        (
            r"(\w+) coat",
            r"coat in \1",
            {"pattern": True},
            {"a": "zxmia, coat in Red, street at night", "b": "zxmia, coat in red, coat in red, smiling"},
        ),
        (
            r"^zxmia,? ?",
            "",
            {"pattern": True},
            {"a": "Red coat, street at night", "b": "red coat, red coat, smiling", "d": "sits in a café."},
        ),
    ],
)
def test_find_and_replace(find: str, replace: str, how: dict[str, bool], wanted: dict[str, str]) -> None:
    assert after(find_and_replace(CAPTIONS, find, replace, **how)) == wanted


@pytest.mark.parametrize(
    ("find", "replace", "said"),
    [
        ("(", "x", "not a regular expression"),
        ("coat", r"\2", "replacement"),
        ("a" * 1001, "", "characters at most"),
        (r"(a|aa)+$", "x", "too long"),
    ],
)
def test_a_pattern_that_can_not_be_used_is_refused_with_words(find: str, replace: str, said: str) -> None:
    captions = {"a": "a" * 60 + "!", "b": "coat"}
    with pytest.raises(InvalidFieldValue, match=said):
        find_and_replace(captions, find, replace, pattern=True)


def test_nothing_grows_over_what_a_caption_can_hold() -> None:
    with pytest.raises(InvalidFieldValue, match="10,000"):
        find_and_replace({"a": "x" * 200}, "x", "y" * 100)
    with pytest.raises(MissingRequiredField):
        find_and_replace({"a": "x"}, "", "y")


def test_prefix_and_suffix_come_once() -> None:
    assert after(add_prefix(CAPTIONS, " photo ")) == {name: f"photo, {text}" if text else "photo" for name, text in CAPTIONS.items()}
    assert after(add_prefix({"a": "photo, x"}, "photo")) == {}
    assert after(add_prefix({"a": "a woman"}, "photo of", " ")) == {"a": "photo of a woman"}
    assert after(add_suffix({"a": "x, film grain", "b": "x, ", "c": ""}, "film grain")) == {"b": "x, film grain", "c": "film grain"}


def test_the_trigger_word_comes_first_and_once() -> None:
    captions = {
        "first": "zxmia, smiling",
        "tag": "smiling, zxmia, beach",
        "inside": "portrait of zxmia",
        "none": "",
        "other": "zxmiana, x",
        "toolkit": "[trigger] on a beach",
        "of": "zxmia's coat",
    }
    assert after(add_trigger(captions, "zxmia")) == {
        "tag": "zxmia, smiling, beach",
        "inside": "zxmia, portrait of zxmia",
        "none": "zxmia",
        "other": "zxmia, zxmiana, x",
        "toolkit": "zxmia on a beach",
    }
    with pytest.raises(MissingRequiredField):
        add_trigger(captions, "  ")


def test_tags_are_the_same_whatever_their_spaces_and_capitals() -> None:
    captions = {"a": "Long_Hair, smile,long hair , beach", "b": "smile ,beach"}
    assert after(remove_tag(captions, "long hair")) == {"a": "smile, beach"}
    assert after(replace_tag(captions, "beach", "sea")) == {"a": "Long_Hair, smile, long hair, sea", "b": "smile, sea"}
    # What is there already is not there twice.
    assert after(replace_tag(captions, "beach", "Smile")) == {"a": "Long_Hair, smile, long hair", "b": "smile"}
    assert after(deduplicate_tags(captions)) == {"a": "Long_Hair, smile, beach"}
    assert count_tags(captions.values()) == {"long hair": 1, "smile": 2, "beach": 2}


# Text files


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"zxmia, a caf\xc3\xa9\n", "zxmia, a café"),
        (b"\xef\xbb\xbfzxmia", "zxmia"),
        ("zxmia, café".encode("utf-16"), "zxmia, café"),
        (b"one\r\ntwo.\n\n  three   four\n", "one, two. three four"),
        (b"", ""),
        (b" \n", ""),
    ],
)
def test_a_caption_file_is_read(data: bytes, text: str) -> None:
    assert read_caption(data, "a.txt") == text


def test_a_caption_file_that_can_not_be_used_is_named_with_the_remedy() -> None:
    with pytest.raises(InvalidFieldValue, match=r"“a\.txt” is not written in UTF-8: byte 4") as refused:
        read_caption(b"caf\xe9", "a.txt")
    assert "UTF-8" in refused.value.remedy
    with pytest.raises(InvalidFieldValue, match="not a text file"):
        read_caption(b"PNG\0\0", "a.txt")
    with pytest.raises(FileTooLarge, match="10,000"):
        read_caption(b"x" * 10_001, "a.txt")
    with pytest.raises(FileTooLarge):
        read_caption(b"x" * 10**6, "a.txt")
    assert len(read_caption("é".encode() * 10_000, "a.txt")) == 10_000


def test_a_caption_is_written_beside_its_picture(tmp_path: Path) -> None:
    written = write_caption(tmp_path / "a.b.png", "one\ntwo é")
    assert written == tmp_path / "a.b.txt"
    assert written.read_bytes() == "one two é\n".encode()
    assert read_caption(written.read_bytes(), written.name) == "one two é"
    with pytest.raises(FileTooLarge):
        write_caption(tmp_path / "a.png", "x" * 10_001)


# Folders


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("10_zxmia woman", (10, "zxmia", "woman")),
        ("1_zxmia", (1, "zxmia", "")),
        ("25_zxmia_young man", (25, "zxmia", "young man")),
        ("zxmia", None),
        ("0_zxmia", None),
        ("2024 holiday", None),
        ("7_", None),
        ("99999_zxmia", None),
    ],
)
def test_a_folder_is_named_as_kohya_does(name: str, said: tuple[int, str, str] | None) -> None:
    assert kohya_name(name) == said


def test_a_kohya_folder_is_recognised() -> None:
    found = arrange(
        [
            "img/10_zxmia woman/2.png",
            "img/10_zxmia woman/10.jpg",
            "img/10_zxmia woman/2.txt",
            "img/10_zxmia woman/10.caption",
            "img/3_zxmia woman/close.webp",
            "reg/1_woman/x.png",
            "log/events.out",
        ]
    )
    assert found.layout is Layout.kohya
    assert [(group.repeats, group.trigger, group.class_word, len(group.pictures)) for group in found.groups] == [
        (3, "zxmia", "woman", 1),
        (10, "zxmia", "woman", 2),
    ]
    assert found.groups[1].pictures == ("img/10_zxmia woman/2.png", "img/10_zxmia woman/10.jpg")
    assert found.captions == {
        "img/10_zxmia woman/2.png": "img/10_zxmia woman/2.txt",
        "img/10_zxmia woman/10.jpg": "img/10_zxmia woman/10.caption",
    }
    assert found.left_out == ("reg/1_woman/x.png",)


def test_an_ai_toolkit_folder_is_recognised_and_its_caches_are_not_pictures() -> None:
    found = arrange(
        ["a.png", "A.TXT", "b.jpg", "default.txt", ".aitk_size.json", "_latent_cache/a.png", "__MACOSX/a.png", "._a.png"], "mia"
    )
    assert found.layout is Layout.aitoolkit
    assert found.pictures == 2
    assert found.captions == {"a.png": "A.TXT", "b.jpg": "default.txt"}
    assert arrange(["a.png", "a.png.txt"]).captions == {"a.png": "a.png.txt"}
    assert arrange(["a.png"]).layout is Layout.plain
    assert arrange(["a.png"], "5_zxmia man").groups[0].repeats == 5
    assert arrange(["readme.md"]).pictures == 0


def test_a_folder_is_taken_in_with_what_is_wrong_in_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(png())
    folder = tmp_path / "4_zxmia woman"
    (folder / "deeper").mkdir(parents=True)
    (folder / "a.png").write_bytes(png())
    (folder / "a.txt").write_bytes(b"\xef\xbb\xbfzxmia, smiling")
    (folder / "b.png").write_bytes(png())
    (folder / "b.txt").write_bytes(b"caf\xe9")
    (folder / "c.jpg").write_bytes(b"x" * 5000)
    (folder / "deeper" / "d.png").write_bytes(png())
    (folder / "link.png").symlink_to(outside)

    dataset = DatasetFolder(folder)
    found = {one.name: one for one in dataset.pictures(4000)}

    assert dataset.arrangement.layout is Layout.kohya
    assert set(found) == {"a.png", "b.png", "c.jpg", "d.png"}
    assert (found["a.png"].caption, found["a.png"].data, found["a.png"].group.repeats) == ("zxmia, smiling", png(), 4)
    assert found["b.png"].caption == ""
    assert found["b.png"].data
    assert "b.txt" in str(found["b.png"].problem)
    assert found["c.jpg"].data is None
    assert isinstance(found["c.jpg"].problem, FileTooLarge)
    with pytest.raises(NotFound):
        DatasetFolder(folder / "a.png")


# ZIPs


@pytest.mark.parametrize("kohya", [False, True])
def test_a_dataset_goes_out_as_a_zip_and_comes_back(tmp_path: Path, kohya: bool) -> None:
    sources = [("Mia.PNG", "zxmia, one"), ("mia.png", "zxmia, two"), ("../../etc/pass:wd.png", ""), ("gone.png", "x")]
    pictures = []
    for number, (name, caption) in enumerate(sources):
        path = tmp_path / f"{number}.png"
        if name != "gone.png":
            path.write_bytes(png())
        pictures.append((name, path, caption))
    how = {"trigger": "zxmia", "class_word": "woman", "repeats": 10} if kohya else {}

    data = b"".join(pack(pictures, **how))

    with DatasetZip(data) as dataset:
        found = list(dataset.pictures(10**6))
        assert [(one.name, one.caption) for one in found] == [("Mia.png", "zxmia, one"), ("mia-2.png", "zxmia, two"), ("pass wd.png", "")]
        assert all(one.data == png() for one in found)
        assert dataset.arrangement.layout is (Layout.kohya if kohya else Layout.plain)
        assert [(group.folder, group.repeats) for group in dataset.arrangement.groups] == [
            ("10_zxmia woman", 10) if kohya else ("", 1),
        ]


def test_kohyas_folder_needs_the_trigger_word() -> None:
    with pytest.raises(InvalidFieldValue, match="trigger word"):
        list(pack([], repeats=10))


@pytest.mark.parametrize("name", ["../a.png", "a/../../b.png", "/etc/a.png", "C:/a.png", "..\\a.png", "\\\\server\\a.png"])
def test_a_zip_with_a_path_that_leads_out_of_it_is_refused(name: str) -> None:
    with pytest.raises(ContractMismatch, match="leads out"):
        DatasetZip(zipped({"fine.png": png(), name: png()}))


def test_a_zip_that_is_none_or_locked_or_linked_is_refused() -> None:
    with pytest.raises(ContractMismatch, match="not a ZIP"):
        DatasetZip(b"PK but not really")
    whole = zipped({"a.png": png()})
    with pytest.raises(ContractMismatch, match="not a ZIP"):
        DatasetZip(whole[: len(whole) // 2])
    link = zipfile.ZipInfo("a.png")
    link.external_attr = 0o120777 << 16
    with pytest.raises(ContractMismatch):
        DatasetZip(zipped({link: b"/etc/passwd"}))
    locked = bytearray(whole)
    for signature, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        locked[locked.index(signature) + offset] |= 1
    with pytest.raises(ContractMismatch, match="encrypted"):
        DatasetZip(bytes(locked))


def test_sizes_are_counted_while_unpacking() -> None:
    bomb = zipped({"a.png": b"\0" * 10**6, "b.png": png()}, zipfile.ZIP_DEFLATED)
    with DatasetZip(bomb) as dataset:
        first, second = dataset.pictures(10**5)
        assert first.data is None
        assert isinstance(first.problem, FileTooLarge)
        assert second.data == png()
    # The header says ten bytes; a million come out.
    lying = bytearray(bomb)
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = lying.index(signature) + offset
        lying[at : at + 4] = (10).to_bytes(4, "little")
    with DatasetZip(bytes(lying)) as dataset:
        first, second = dataset.pictures(10**5)
        assert first.data is None
        assert second.data == png()


def test_a_damaged_picture_in_a_zip_leaves_the_others() -> None:
    data = bytearray(zipped({"a.png": png(), "a.txt": b"zxmia", "b.png": png(), "b.txt": b"\xff"}))
    data[data.index(b"IDAT") + 6] ^= 0xFF
    with DatasetZip(bytes(data)) as dataset:
        first, second = dataset.pictures(10**6)
    assert first.data is None
    assert first.caption == "zxmia"
    assert "damaged" in str(first.problem)
    assert second.data
    assert "b.txt" in str(second.problem)


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, "PNG")
    return out.getvalue()


def zipped(files: dict[str, bytes] | dict[zipfile.ZipInfo, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return out.getvalue()
