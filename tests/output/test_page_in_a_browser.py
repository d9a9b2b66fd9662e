"""The page in a browser, where Chromium is installed: it draws, tells titles, shows molecules, and asks for nothing."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import molgiae
from tests.conftest import N_MOLECULES
from tests.data.molfiles import molecule, sdf_record

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = (
    *(
        "--headless",
        "--no-sandbox",
        "--use-gl=angle",
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
    ),
    *("--disable-background-networking", "--disable-component-update", "--virtual-time-budget=20000"),
)
DEAD = "http://127.0.0.1:9/"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
]

TRY = """
const ink = canvas => {
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const context = copy.getContext("2d");
  context.drawImage(canvas, 0, 0);
  const v = context.getImageData(0, 0, copy.width, copy.height).data;
  let count = 0;
  for (let i = 0; i < v.length; i += 4) count += v[i + 3] > 0 && v[i] + v[i + 1] + v[i + 2] < 600;
  return count;
};
const details = () => Object.fromEntries([...document.querySelectorAll("#details dt")].map(
  name => [name.textContent, name.nextSibling.textContent]));
const send = (type, row) => {
  const canvas = document.getElementById("scatter"), box = canvas.getBoundingClientRect(), [x, y] = report.pixel(row);
  const place = { clientX: box.left + canvas.clientLeft + x, clientY: box.top + canvas.clientTop + y, bubbles: true };
  canvas.dispatchEvent(new PointerEvent(type, place));
};
const later = () => new Promise(done => setTimeout(done, 300));
const menu = async (id, value) => {
  document.getElementById(id).value = value;
  document.getElementById(id).dispatchEvent(new Event("change"));
  await later();
  return document.getElementById("scatter").toDataURL();
};
const found = { errors: [] };
addEventListener("error", event => found.errors.push(event.message));
addEventListener("unhandledrejection", event => found.errors.push(String(event.reason)));
setTimeout(async () => {
  const [map, first] = [document.getElementById("scatter"), details()];
  const viewer = document.querySelector("#viewer canvas");
  Object.assign(found, { first, map: ink(map), molecule: ink(viewer) });
  send("pointermove", ROW);
  found.tip = document.getElementById("tip").textContent;
  send("click", ROW);
  Object.assign(found, { clicked: details(), other: ink(viewer) });
  found.pictures = [...document.querySelectorAll(".picture")].map(p => p.style.backgroundImage.slice(0, 15));
  const worst = document.querySelector("[data-decoded]");
  worst.click();
  Object.assign(found, { worst: details().record, worst_row: +worst.dataset.row });
  await later();
  const before = map.toDataURL(), turned = await menu("map", 1), coloured = await menu("colour", 2);
  Object.assign(found, { map_changes: before !== turned, colour_changes: turned !== coloured });
  ASK
  setTimeout(() => { document.body.dataset.found = JSON.stringify(found); }, 2000);
}, 3000);
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory, model_path) -> str:
    home = tmp_path_factory.mktemp("page")
    records = [sdf_record(molecule(k), f"<b>m{k}</b>", data=[("k", str(k))]) for k in range(N_MOLECULES)]
    (home / "a.sdf").write_text("".join(records))
    molgiae.report(home / "a.sdf", output=home / "a.html", model=model_path, k=2)
    return (home / "a.html").read_text(encoding="utf-8")


def opened(text: str, folder: Path) -> tuple[str, list[str]]:
    """Return the page as it is after its scripts have run, and what was asked for from elsewhere."""
    (folder / "page.html").write_text(text, encoding="utf-8")
    log = folder / "net.json"
    profile = folder / "profile"
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={profile}", f"--log-net-log={log}", "--dump-dom"]
    done = subprocess.run(
        [*command, (folder / "page.html").as_uri()], capture_output=True, text=True, timeout=200, check=True
    )
    asked = re.findall(r'"url":\s*"((?:https?|wss?|ftp):[^"]*)"', log.read_text(encoding="utf-8"))
    return done.stdout, asked


def tried(page: str, folder: Path, row: int = 7, ask: str = "") -> tuple[dict, list[str]]:
    script = TRY.replace("ROW", str(row)).replace("ASK", ask)
    text, asked = opened(page.replace("</body>", f"<script>{script}</script></body>"), folder)
    return json.loads(html.unescape(re.search(r'data-found="([^"]*)"', text)[1])), asked


def test_the_page_draws_and_shows_molecules(page, tmp_path):
    found, asked = tried(page, tmp_path)
    assert found["errors"] == [] and asked == []
    assert found["map"] > 100 and found["molecule"] > 100 and found["other"] > 100
    assert found["first"]["title"] == "<b>m0</b>" and found["tip"] == "<b>m7</b>"
    assert found["clicked"]["title"] == "<b>m7</b>" and found["clicked"]["k"] == "7"
    assert found["pictures"] and set(found["pictures"]) == {'url("data:image'}
    assert found["worst"].startswith(f"{found['worst_row'] + 1} of ")
    assert found["map_changes"] and found["colour_changes"]


def test_requests_would_be_refused_and_seen(page, tmp_path):
    ask = f"fetch('{DEAD}').catch(() => 0); new Image().src = '{DEAD}';"
    assert tried(page, tmp_path, ask=ask)[1] == []
    (tmp_path / "free").mkdir()
    _, asked = opened(f"<html><body><img src='{DEAD}'></body></html>", tmp_path / "free")
    assert DEAD in asked
