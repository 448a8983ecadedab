// Drawing, moving and resizing boxes with mouse, pen or finger.

import { boxBetween, contains, moved, resized, SMALLEST, snapLines, snapMove, snapPoint, tidyBox } from "./geometry.js";
import { find, painted } from "./document.js";

const REACH = 6; // screen pixels within which an edge jumps to a line
const STILL = 3; // screen pixels a pointer may stray in a click
const DOUBLE = 350; // milliseconds in which a second click is part of a double click

export function listenToPointer(stage, store, commands, editCaption) {
  const { svg } = stage;
  let drag = null;
  let lastClick = { at: -DOUBLE };

  const reach = () => [REACH / stage.size.width, REACH / stage.size.height];

  function lines(except) {
    const others = store.doc.instances.filter((each) => each.id !== except && !each.hidden).map((each) => each.box);
    return snapLines(others, store.view.grid ? stage.gridStep : null);
  }

  // Boxes under a point that can be taken hold of, front first.
  function pile(point) {
    const boxes = painted(store.doc).map((id) => find(store.doc, id));
    return boxes.filter((each) => !each.hidden && !each.locked && contains(each.box, point)).map((each) => each.id);
  }

  function begin(event) {
    if (event.button !== 0 || drag) return;
    const handle = event.target.closest("[data-handle]")?.dataset.handle;
    const point = stage.at(event);
    const piled = pile(point);
    const above = event.ctrlKey || event.metaKey || event.altKey || store.view.tool === "draw";
    drag = { start: point, moved: false, piled, pointer: event.pointerId, before: store.view.selected };
    if (handle) Object.assign(drag, { kind: "resize", handle, id: store.view.selected });
    else if (above || !piled.length) drag.kind = "draw";
    else
      Object.assign(drag, { kind: "move", id: piled.includes(store.view.selected) ? store.view.selected : piled[0] });
    if (drag.id) Object.assign(drag, { box: find(store.doc, drag.id).box, lines: lines(drag.id) });
    else drag.lines = lines(null);
    svg.setPointerCapture(event.pointerId);
    if (drag.kind === "move" && drag.id !== store.view.selected) commands.select(drag.id);
  }

  function go(event) {
    if (!drag || event.pointerId !== drag.pointer) return;
    const point = stage.at(event);
    const strayed = Math.hypot(
      (point[0] - drag.start[0]) * stage.size.width,
      (point[1] - drag.start[1]) * stage.size.height,
    );
    if (!drag.moved && strayed < STILL) return;
    drag.moved = true;
    svg.classList.add("dragging");
    const outcome = { move: movedTo, resize: resizedTo, draw: drawnTo }[drag.kind](point, event);
    drag.next = outcome.box;
    if (drag.kind === "draw") stage.showDraft(outcome.box);
    else stage.place(drag.id, outcome.box);
    stage.showGuides(outcome.guides);
    stage.showReadout(outcome.box);
  }

  function movedTo(point, event) {
    let [dx, dy] = [point[0] - drag.start[0], point[1] - drag.start[1]];
    if (event.shiftKey && Math.abs(dx) > Math.abs(dy)) dy = 0;
    else if (event.shiftKey) dx = 0;
    const box = moved(drag.box, dx, dy);
    return store.view.snap ? snapMove(box, drag.lines, reach()) : { box, guides: [null, null] };
  }

  function snapped(point) {
    const inside = point.map((value) => Math.min(Math.max(value, 0), 1));
    return store.view.snap ? snapPoint(inside, drag.lines, reach()) : { point: inside, guides: [null, null] };
  }

  function resizedTo(point, event) {
    const { point: end, guides } = snapped(point);
    const [x1, y1, x2, y2] = drag.box;
    const box = resized(drag.box, drag.handle, end, event.shiftKey ? (x2 - x1) / (y2 - y1) : 0);
    const pulls = [/[ew]/.test(drag.handle), /[ns]/.test(drag.handle)];
    return { box, guides: event.shiftKey ? [null, null] : guides.map((line, axis) => (pulls[axis] ? line : null)) };
  }

  function drawnTo(point, event) {
    drag.from ??= snapped(drag.start).point;
    const { point: end, guides } = snapped(point);
    if (event.shiftKey) squared(end);
    return { box: boxBetween(drag.from, end), guides: event.shiftKey ? [null, null] : guides };
  }

  // As wide as high on the screen, the shorter side deciding.
  function squared(end) {
    const { width, height } = stage.size;
    const [dx, dy] = [(end[0] - drag.from[0]) * width, (end[1] - drag.from[1]) * height];
    const side = Math.min(Math.abs(dx), Math.abs(dy));
    end[0] = drag.from[0] + (Math.sign(dx) * side) / width;
    end[1] = drag.from[1] + (Math.sign(dy) * side) / height;
  }

  function end(event) {
    if (!drag || event.pointerId !== drag.pointer) return;
    const done = drag;
    stop();
    if (!done.moved) return click(done);
    if (done.kind !== "draw") return commands.setBox(done.id, done.next);
    const box = tidyBox(done.next);
    if (box[2] - box[0] < SMALLEST || box[3] - box[1] < SMALLEST) return;
    editCaption(commands.addBox(box));
  }

  function click(done) {
    const now = performance.now();
    const again = now - lastClick.at < DOUBLE && done.id && done.id === lastClick.id;
    lastClick = { at: now, id: done.id };
    if (done.kind === "draw") return store.view.tool === "select" && commands.select(null);
    if (again) return editCaption(done.id);
    if (done.kind === "move" && done.id === done.before && done.piled.length > 1) {
      const next = done.piled[(done.piled.indexOf(done.id) + 1) % done.piled.length];
      clickThrough = setTimeout(() => commands.select(next), DOUBLE);
    }
    stage.focus(done.id);
  }
  let clickThrough = 0;

  function stop() {
    drag = null;
    svg.classList.remove("dragging");
    stage.showDraft(null);
    stage.showGuides();
    stage.showReadout(null);
  }

  // Leaves everything as it was before the drag began.
  function abandon() {
    if (!drag) return false;
    stop();
    stage.draw();
    return true;
  }

  svg.addEventListener("pointerdown", (event) => {
    clearTimeout(clickThrough);
    begin(event);
  });
  svg.addEventListener("pointermove", go);
  svg.addEventListener("pointerup", end);
  svg.addEventListener("pointercancel", abandon);
  return { abandon };
}
