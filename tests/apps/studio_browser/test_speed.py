"""The editor stays quick when the canvas is full."""

from __future__ import annotations

import json
import random

from tests.apps.studio_browser.editor import Editor

BOXES = 50
MOVES = 100
FRAME = 16.0
"""Milliseconds."""

DRAG = """([id, moves]) => {
    const stage = document.getElementById("stage");
    const frame = stage.getBoundingClientRect();
    const box = document.querySelector(`g.box[data-id="${id}"]`);
    const spot = box.querySelector(".edge").getBoundingClientRect();
    const [x, y] = [spot.left + 10, spot.top + spot.height - 10];
    const send = (type, target, dx, dy) => target.dispatchEvent(new PointerEvent(type, {
        bubbles: true, cancelable: true, pointerId: 1, pointerType: "mouse", isPrimary: true, button: type === "pointermove" ? -1 : 0,
        buttons: 1, clientX: x + dx, clientY: y + dy,
    }));
    stage.setPointerCapture = () => {};
    send("pointerdown", box, 0, 0);
    const times = [];
    for (let move = 1; move <= moves; move++) {
        const start = performance.now();
        send("pointermove", stage, move % 37, move % 23);
        times.push(performance.now() - start);
    }
    const start = performance.now();
    send("pointerup", stage, moves % 37, moves % 23);
    return { times, drop: performance.now() - start, frames: frame.width };
}"""


def crowd() -> str:
    """Fifty overlapping boxes, captioned, in a total order."""
    rng = random.Random(5)
    instances = []
    for place in range(BOXES):
        x, y = rng.uniform(0, 0.7), rng.uniform(0, 0.7)
        box = [round(v, 4) for v in (x, y, x + rng.uniform(0.1, 0.3), y + rng.uniform(0.1, 0.3))]
        instances.append({"id": f"box-{place}", "caption": f"a thing with the number {place}", "box": box})
    order = {"front_to_back": [each["id"] for each in instances]}
    return json.dumps({"prompt": "a crowd", "width": 128, "height": 128, "instances": instances, "order": order})


def test_each_move_of_a_drag_among_fifty_boxes_takes_less_than_a_frame(editor: Editor) -> None:
    editor.load(crowd())
    before = editor.layout()["instances"]
    measured = editor.page.evaluate(DRAG, ["box-0", MOVES])
    after = editor.layout()["instances"]
    assert after[0]["box"] != before[0]["box"]
    assert after[1:] == before[1:]
    times = sorted(measured["times"])
    print(f"median {times[MOVES // 2]:.2f} ms, slowest {times[-1]:.2f} ms, drop {measured['drop']:.1f} ms")  # noqa: T201
    assert times[-1] < FRAME


def test_moves_of_the_real_mouse_cost_little_script(editor: Editor) -> None:
    editor.load(crowd())
    session = editor.page.context.new_cdp_session(editor.page)
    session.send("Performance.enable")

    def script_seconds() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "ScriptDuration")

    x1, y1, x2, y2 = editor.layout()["instances"][0]["box"]
    x, y = editor.on_screen(((x1 + x2) / 2, (y1 + y2) / 2))
    editor.page.mouse.move(x, y)
    editor.page.mouse.down()
    start = script_seconds()
    for move in range(MOVES):
        editor.page.mouse.move(x + move % 37, y + move % 23)
    spent = (script_seconds() - start) * 1000 / MOVES
    editor.page.mouse.up()
    print(f"{spent:.2f} ms of script for each move")  # noqa: T201
    assert spent < FRAME
