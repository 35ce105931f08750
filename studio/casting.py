"""What belongs to a character besides its words: photos, the proof of a consent, and the one file that it travels in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from studio.characters import Characters, check_consent
from studio.contracts import Character, CharacterChange, CharacterStatus, PhotosAdded, Picture, Problem, RefusedPhoto
from studio.datasets import Datasets
from studio.errors import Conflict, ConsentMissing, InvalidFieldValue, LikenessError, from_os_error
from studio.files import write_atomically
from studio.gallery import Gallery
from studio.loras import read_lora
from studio.passport import Learned, LearnedSet, pack, unpack
from studio.photos import plain_name, read_photo
from studio.settings import Settings
from studio.shelf import ModelShelf

EVIDENCE = (".pdf", ".png", ".jpg", ".jpeg", ".webp", ".txt", ".eml", ".docx", ".mp3", ".m4a", ".mp4")


class Casting:
    """The belongings of one studio's characters."""

    def __init__(self, settings: Settings, shelf: ModelShelf, characters: Characters, gallery: Gallery, datasets: Datasets) -> None:
        self.settings = settings
        self._datasets = datasets
        self.shelf = shelf
        self._characters = characters
        self._gallery = gallery

    def add_photos(self, character: Character, files: Sequence[tuple[str, bytes]]) -> PhotosAdded:
        """Take in photos of a character: each bad file is named with its reason, the good ones are kept.

        Raises ConsentMissing for a real person's character without consent, DiskFull or DataRootReadOnly and then keeps nothing.
        """
        if character.kind.real:
            check_consent(character.consent, character.name)
        known = set(self._gallery.photo_hashes(character.id))
        kept: list[Picture] = []
        refused: list[RefusedPhoto] = []

        def take(file: tuple[str, bytes]) -> tuple[str, Picture | LikenessError]:
            shown = plain_name(file[0])
            try:
                photo = read_photo(file[1], self.settings.max_upload_megapixels)
            except LikenessError as error:
                return shown, error
            return shown, self._gallery.keep_photo(photo, character_id=character.id, name=shown, real_person=character.kind.real)

        began = datetime.now(UTC)
        try:
            # Decoding lets go of the interpreter: two photos at a time use both cores of a small machine.
            with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
                for shown, found in pool.map(take, files):
                    if isinstance(found, LikenessError):
                        problem = Problem(code=found.code, message=found.message, remedy=found.remedy, field=found.field)
                        refused.append(RefusedPhoto(name=shown, error=problem))
                    elif found.sha256 in known:
                        self._gallery.forget([found])
                        refused.append(RefusedPhoto(name=shown, error=_there_already()))
                    else:
                        known.add(found.sha256)
                        # In the order in which they were chosen, not in which their decoding ended.
                        kept.append(found.model_copy(update={"created_at": began + timedelta(microseconds=len(kept))}))
            # The same photos may come twice at once: a browser is closed in the middle and opened again while the studio still reads.
            with self._gallery.database.begin() as connection:
                new = self._gallery.record_photos(kept, character.id, connection)
        except LikenessError:
            self._gallery.forget(kept)
            raise
        twice = [photo for photo in kept if photo not in new]
        self._gallery.forget(twice)
        kept = list(new)
        refused += [RefusedPhoto(name=photo.name, error=_there_already()) for photo in twice]
        return PhotosAdded(items=tuple(kept), refused=tuple(refused))

    def keep_evidence(self, character: Character, filename: str, data: bytes) -> Character:
        """Keep the file that proves a consent, beside the character's photos. Raises ConsentMissing, InvalidFieldValue."""
        if character.consent is None:
            raise ConsentMissing("There is no consent record yet.", field="consent", remedy="Fill it in first, then add the file.")
        suffix = Path(plain_name(filename)).suffix.lower()
        if suffix not in EVIDENCE:
            raise InvalidFieldValue(
                "This kind of file can't be kept as evidence.", field="file", remedy=f"Choose one of {', '.join(EVIDENCE)}."
            )
        try:
            write_atomically(self._evidence_folder(character) / f"evidence{suffix}", data, mode=0o600)
        except OSError as error:
            raise from_os_error(error, "keep the evidence") from error
        consent = character.consent.model_copy(update={"evidence": plain_name(filename)})
        return self._characters.change(character.id, CharacterChange.model_validate({"consent": consent}))

    def export(self, character: Character) -> tuple[str, bytes]:
        """A character as one file: its name and its bytes. Raises DiskFull … where a file can't be read."""
        photos = [(photo, self.settings.data / photo.path) for photo in self._gallery.photos(character.id)]
        photos = [(photo, path) for photo, path in photos if path.is_file()]
        lora = self.shelf.loras_folder / character.lora if character.lora else None
        evidence = next(iter(sorted(self._evidence_folder(character).glob("evidence.*"))), None)
        sets = [LearnedSet(each.name, tuple(self._learned(each.id))) for each in self._datasets.datasets(character.id)]
        try:
            data = pack(character, photos, sets, lora if lora and lora.is_file() else None, evidence)
        except OSError as error:
            raise from_os_error(error, "read the character's files") from error
        return f"{character.slug}.likeness.zip", data

    def take_in(self, data: bytes) -> Character:
        """Take in an exported character as a new one; a name that is taken gets a number. Raises ContractMismatch, FileTooLarge."""
        parcel = unpack(data)
        slug, trigger = self._characters.suggest(parcel.fields.slug or parcel.fields.name)
        wanted = parcel.fields.trigger_word
        taken = {each.trigger_word.casefold() for each in self._characters.characters(None)}
        trigger = wanted if wanted and wanted.casefold() not in taken else trigger
        name = _another(parcel.fields.name, {each.name for each in self._characters.characters()})
        character = self._characters.create(parcel.fields.model_copy(update={"name": name, "slug": slug, "trigger_word": trigger}))
        try:
            added: tuple[Picture, ...] = ()
            if parcel.photos and not (character.kind.real and character.consent is None):
                added = self.add_photos(character, [(name, photo) for name, _, photo in parcel.photos]).items
            captions = {name: caption for name, caption, _ in parcel.photos if caption}
            for photo in added:
                if photo.name in captions:
                    self._gallery.set_caption(photo.id, captions[photo.name])
            if not (character.kind.real and character.consent is None):
                for one in parcel.sets:
                    self._datasets.restore(character, one, called=wanted or "")
            change: dict[str, object] = {}
            if parcel.portrait is not None and len(added) == len(parcel.photos):
                change["portrait"] = added[parcel.portrait].id
            if parcel.lora:
                change["lora"] = self._keep_lora(character, parcel.lora)
            if parcel.evidence and character.consent:
                write_atomically(self._evidence_folder(character) / parcel.evidence[0], parcel.evidence[1], mode=0o600)
            return self._characters.change(character.id, CharacterChange.model_validate(change)) if change else character
        except (LikenessError, OSError) as error:
            # Half a character is none: what was made goes to the trash.
            self._characters.change(character.id, CharacterChange.model_validate({"status": CharacterStatus.trashed}))
            if isinstance(error, OSError):
                raise from_os_error(error, "import the character") from error
            raise

    def _learned(self, dataset_id: str) -> Iterator[Learned]:
        for one in self._datasets.every_picture(dataset_id):
            path = self.settings.data / one.path
            if path.is_file():
                yield Learned(one.name, one.caption, one.tags, one.sha256, path)

    def _keep_lora(self, character: Character, data: bytes) -> str:
        name = f"{character.slug}.safetensors"
        path = self.shelf.loras_folder / name
        if path.exists():
            name = f"{character.slug}-{character.id[-6:]}.safetensors"
            path = self.shelf.loras_folder / name
        write_atomically(path, data)
        try:
            read_lora(path)
        except LikenessError:
            path.unlink(missing_ok=True)
            raise
        return name

    def _evidence_folder(self, character: Character) -> Path:
        return self.settings.data / "consent" / character.id


def _another(name: str, taken: set[str]) -> str:
    """A name by which two people in one list can be told apart."""
    return next((free for number in range(2, 1000) if (free := f"{name[:74]} ({number})") not in taken), name) if name in taken else name


def _there_already() -> Problem:
    return Problem(code=Conflict.code, message="This photo is there already.", remedy="Nothing needs to be done.", field="file")
