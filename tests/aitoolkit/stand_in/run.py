"""Behaves as AI-Toolkit 0.12.26 does, without training: for tests of whoever watches it. The recorded runs are its own test.

`python run.py CONFIG.json`, as the real one. `behaviour.json` beside it makes it slow or fail: `step_s` (seconds a step takes),
`load_s`, `fail` (a text that it fails with), `fail_at` (after this step, else while loading), `die_at` (SIGKILL), `vanish_at` (exit 0 and
no LoRA), `nan_at` (losses are no numbers from there), `nan_weights_at`, `oom` (steps that are skipped for memory), `hang_at`, `deaf`
(doesn't see earlier saves).
"""

import base64
import glob
import json
import math
import os
import re
import signal
import sqlite3
import struct
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDACgcHiMeGSgjISMtKygwPGRBPDc3PHtYXUlkkYCZlo+AjIqgtObDoKrarYqMyP/L2u71////m8H////6/+b9//j/"
    "2wBDASstLTw1PHZBQXb4pYyl+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj/wAARCAAIAAgDASIAAhEBAxEB/8QA"
    "HwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkK"
    "FhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXG"
    "x8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/8QAHwEAAwEBAQEBAQEBAQAAAAAAAAECAwQFBgcICQoL/8QAtREAAgECBAQDBAcFBAQAAQJ3AAEC"
    "AxEEBSExBhJBUQdhcRMiMoEIFEKRobHBCSMzUvAVYnLRChYkNOEl8RcYGRomJygpKjU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6goOE"
    "hYaHiImKkpOUlZaXmJmaoqOkpaanqKmqsrO0tba3uLm6wsPExcbHyMnK0tPU1dbX2Nna4uPk5ebn6Onq8vP09fb3+Pn6/9oADAMBAAIRAxEAPwBaKKK5TpP/"
    "2Q=="
)


def main() -> None:
    path = Path(sys.argv[1])
    say("Running 1 job")
    stage = {}
    try:
        Job(path, stage).run()
    except KeyboardInterrupt:
        if "job" in stage:
            stage["job"].interrupted()
        say("\n========================================\nJob stopped\n========================================")
        sys.exit(0)
    except Exception as error:
        say(f"Error running job: {error}")
        if "job" in stage:
            stage["job"].failed(error)
        else:
            say("Error running on_error: cannot access local variable 'job' where it is not associated with a value")
        line = "========================================"
        say(f"\n{line}\nResult:\n - 0 completed jobs\n - 1 failure\n{line}")
        raise


class Job:
    def __init__(self, path, stage):
        behaviour = HERE / "behaviour.json"
        self.odd = json.loads(behaviour.read_text()) if behaviour.exists() else {}
        text = re.sub(r"\$\{([^}]+)\}", environment, path.read_text("utf-8"))
        config = json.loads(text)["config"]
        self.name = config["name"]
        self.process = json.loads(json.dumps(config["process"][0]).replace("[name]", self.name))
        if self.process["type"] != "diffusion_trainer":
            raise ValueError(f"config file is invalid. Unknown process type: {self.process['type']}")
        say(json.dumps(self.process, indent=4))
        self.root = Path(self.process["training_folder"]) / self.name
        self.steps = self.process["train"]["steps"]
        self.database = self.process.get("sqlite_db_path", "./aitk_db.db")
        self.id = os.environ.get("AITK_JOB_ID")
        self.listens = os.path.exists(self.database) and self.id is not None
        if self.listens:
            say(f'Using SQLite database at {self.database}\nJob ID: "{self.id}"')
            self.set(status="running", info="Starting")
        self.step = self.start = self.saved = 0
        self.stopping = False
        stage["job"] = self

    def run(self):
        frame = "#############################################"
        say(f"\n{frame}\n# Running job: {self.name}\n{frame}\n\n\nRunning  1 process")
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "config.yaml").write_text(json.dumps(self.process))
        self.maybe_stop()
        self.set(status="running", info="Loading model")
        time.sleep(self.odd.get("load_s", 0))
        if "fail" in self.odd and "fail_at" not in self.odd:
            raise RuntimeError(self.odd["fail"])
        say(f"create LoRA network. base dim (rank): {self.process['network']['linear']}, alpha: {self.process['network']['linear_alpha']}")
        self.resume()
        self.maybe_stop()
        self.set(status="running", info="Loading dataset")
        self.load_dataset()
        sample = self.process["sample"]
        draws = not self.process["train"].get("disable_sampling")
        if self.process["train"].get("skip_first_sample") or not draws:
            say("Skipping first sample due to config setting")
        elif self.step <= 1:
            say("Generating baseline samples before training")
            self.draw()
        self.log = self.open_log()
        self.maybe_stop()
        self.set(step=self.step, status="running", info="Training")
        self.bar(self.step, "")
        out_of_memory = 0
        for number in range(self.start, self.steps):
            self.step = number
            time.sleep(self.odd.get("step_s", 0))
            self.odd_ends(number)
            if number in self.odd.get("oom", ()):
                out_of_memory += 1
                if out_of_memory > 3:
                    raise RuntimeError("OOM during training step 3 times in a row, aborting training")
                line = "################################################"
                say(f"\n{line}\n# OOM during training step, skipping batch {out_of_memory}/3 #\n{line}\n")
                continue
            out_of_memory = 0
            loss = 1.0 / (1 + number / 20)
            if number >= self.odd.get("nan_at", self.steps):
                loss = 0.0
                say("loss is nan")
            rate = self.process["train"]["lr"]
            words = f", lr: {rate:.1e} loss: {loss:.3e}"
            self.bar(number, words)
            if number != self.start:
                if number % self.process["save"]["save_every"] == 0:
                    say(f"\nSaving at step {number}")
                    self.save(number)
                if draws and number % sample["sample_every"] == 0:
                    self.draw()
                self.log.executemany(
                    "INSERT OR REPLACE INTO metrics(step, key, value_real) VALUES (?, ?, ?)",
                    [(number, "loss/loss", loss), (number, "learning_rate", rate)],
                )
                self.log.commit()
            self.bar(number + 1, words)
            if number and number % self.process["performance_log_every"] == 0:
                self.set(speed_string="24.41 iter/sec")
            self.step = number + 1
            self.end_step()
        sys.stderr.write("\n")
        self.save(None)
        if draws:
            self.draw()
        say("")
        self.set(status="completed", info="Training completed")

    def odd_ends(self, number):
        if number == self.odd.get("fail_at", -1):
            raise RuntimeError(self.odd["fail"])
        if number == self.odd.get("die_at", -1):
            os.kill(os.getpid(), signal.SIGKILL)
        if number == self.odd.get("vanish_at", -1):
            os._exit(0)
        if number == self.odd.get("hang_at", -1):
            time.sleep(1000)

    def resume(self):
        if self.odd.get("deaf"):
            return
        paths = [Path(path) for path in glob.glob(f"{self.root}/{self.name}*")]
        paths = [path for path in paths if not any(word in str(path) for word in ("_LoRA", "_refiner", "_t2i", "_cn"))]
        if not paths:
            return
        newest = max(paths, key=os.path.getctime)
        say(f"#### IMPORTANT RESUMING FROM {newest} ####\nLoading from {newest}")
        data = newest.read_bytes()
        length = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + length])
        if 8 + length + max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__") != len(data):
            raise ValueError("Error while deserializing header: incomplete metadata, file not fully covered")
        self.step = self.start = self.saved = json.loads(header["__metadata__"]["training_info"])["step"]
        say(f"Missing keys: []\nFound step {self.step} in metadata, starting from there")

    def load_dataset(self):
        folder = Path(self.process["datasets"][0]["folder_path"])
        pictures = [name for name in os.listdir(folder) if name.endswith((".jpg", ".png", ".webp"))]
        pictures = [name for name in pictures if (folder / name).with_suffix(".txt").is_file()]
        say(f"Dataset: {folder}\n  -  Preprocessing image dimensions\n  -  Found {len(pictures)} images")
        assert pictures, f"no images found in {folder}"
        say(f"Caching latents for {folder}\n - Saving latents to disk")

    def open_log(self):
        log = connected(self.root / "loss_log.db")
        log.execute("PRAGMA journal_mode=WAL")
        log.execute("CREATE TABLE IF NOT EXISTS metrics(step INTEGER, key TEXT, value_real REAL, value_text TEXT, PRIMARY KEY(step, key))")
        log.execute("DELETE FROM metrics WHERE step >= ?", (self.start,))
        log.commit()
        return log

    def save(self, step):
        self.maybe_stop()
        self.set(status="running", info="Saving model")
        if step is not None:
            self.saved = step
        path = self.root / f"{self.name}{'' if step is None else f'_{step:09}'}.safetensors"
        path.write_bytes(lora(self.step, self.process["network"]["linear"], self.step >= self.odd.get("nan_weights_at", self.steps + 1)))
        say(f"Saved checkpoint to {path}")
        (self.root / "optimizer.pt").write_bytes(b"optimizer")
        say(f"Saved optimizer to {self.root / 'optimizer.pt'}")
        self.maybe_stop()
        self.set(status="running", info="Training")

    def draw(self):
        self.maybe_stop()
        prompts = self.process["sample"]["prompts"]
        folder = self.root / "samples"
        folder.mkdir(exist_ok=True)
        for number in range(len(prompts) + 1):
            self.set(status="running", info=f"Generating images - {number}/{len(prompts)}")
            if number < len(prompts):
                self.maybe_stop()
                part = folder / ".part"
                part.write_bytes(JPEG)
                part.rename(folder / f"{time.time_ns() // 1_000_000}__{self.step:09}_{number}.jpg")
        self.maybe_stop()
        self.set(status="running", info="Training")

    def end_step(self):
        if not self.listens:
            return
        self.set(step=self.step)
        self.maybe_stop()
        if self.get("save_now"):
            self.set(save_now=0)
            say(f"\nSaving at step {self.step}")
            self.save(self.step)
        if self.get("sample_now"):
            self.set(sample_now=0)
            say(f"\nSampling at step {self.step}")
            self.draw()

    def maybe_stop(self):
        if not self.listens:
            return
        for flag, status, said in (("stop", "stopped", "Job stopped"), ("return_to_queue", "queued", "Job returning to queue")):
            if self.get(flag):
                self.set(status=status, info=said.replace("returning to queue", "queued"))
                self.stopping = True
                raise Exception(said)

    def interrupted(self):
        self.set(status="stopped", info="Job stopped")
        self.set(step=self.saved)

    def failed(self, error):
        if not self.stopping:
            self.set(status="error", info=str(error))
        self.set(step=self.saved)

    def get(self, column):
        with connected(self.database) as connection:
            found = connection.execute(f"SELECT {column} FROM Job WHERE id = ?", (self.id,)).fetchone()
        return bool(found and found[0])

    def set(self, **columns):
        if not self.listens:
            return
        with connected(self.database) as connection:
            for column, value in columns.items():
                connection.execute(f"UPDATE Job SET {column} = ? WHERE id = ?", (value, self.id))

    def bar(self, done, words):
        share = done / self.steps
        blocks = "█" * int(share * 10)
        speed = "?it/s" if not words else "24.41it/s"
        sys.stderr.write(f"\r{self.name}: {share:4.0%}|{blocks:<10}| {done}/{self.steps} [00:01<00:00, {speed}{words}]")
        sys.stderr.flush()


def lora(step, rank, broken):
    """A LoRA of one layer, as the bytes of a safetensors file."""
    shapes = {"lora_down": (rank, 32), "lora_up": (32, rank)}
    header, body = {"__metadata__": {"training_info": json.dumps({"step": step, "epoch": 1}), "ss_base_model_version": "sd_1.5"}}, b""
    for kind, shape in shapes.items():
        value = math.nan if broken else 0.01 * (step + 1)
        data = struct.pack("<e", value) * (shape[0] * shape[1])
        name = f"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.{kind}.weight"
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def environment(match):
    if match[1] not in os.environ:
        raise ValueError(f"Environment variable {match[1]} not set. Please ensure it's defined before proceeding.")
    return os.environ[match[1]]


def connected(path):
    connection = sqlite3.connect(path, timeout=30)
    connection.execute("PRAGMA synchronous=OFF")  # it may lose what it says with the computer's power
    return connection


def say(text):
    print(text, flush=True)


if __name__ == "__main__":
    main()
