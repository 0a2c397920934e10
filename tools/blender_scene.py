"""Draws a motion file as Blender imports it: at rest with its bones, and in some frames side by side.

Blender runs it, for tools/draw_importers.py:

    blender --background --factory-startup --python tools/blender_scene.py -- job.json

The job names the file for the left, whose rest pose is drawn, the file for the right, and its seconds. Writes a PNG,
and as JSON where each bone of the rest pose is seen, in pixels.
"""

from __future__ import annotations

import builtins
import json
import math
import sys
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Matrix, Vector

# Debian's Blender 3.4 is older than its Python, which lost mode "rU", and its numpy, which lost np.bool.
_open = builtins.open
builtins.open = lambda file, mode="r", *rest, **more: _open(file, mode.replace("U", ""), *rest, **more)
if "bool" not in vars(np):
    np.bool = bool

BONE, JOINT, GREY = (0.95, 0.42, 0.05), (0.45, 0.15, 0.02), (0.55, 0.56, 0.58)


def main(job: dict[str, Any]) -> None:
    """Import, draw, write."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    rig, skin = imported(job["left"])
    rig.data.pose_position = "REST"
    bpy.context.view_layer.update()
    bones = bones_of(rig)
    lowest = min(head.z for head, _ in bones.values())
    move = Matrix.Translation((0, 0, max(0.0, 0.02 - lowest))) @ centred(bones)  # BVH's skeleton hangs below the floor
    draw_bones(bones, move)
    if skin:
        still(skin, move, faded(skin, job["rest_alpha"]))
    place = {name: move @ head for name, (head, _) in bones.items()}
    remove(rig, skin)
    rig, skin = imported(job["right"])
    first = 0 if job["right"].endswith(".glb") else 1
    material = faded(skin, job["alpha"]) if skin else None
    for number, seconds in enumerate(job["seconds"]):
        when = first + seconds * bpy.context.scene.render.fps
        bpy.context.scene.frame_set(int(when), subframe=when - int(when))
        bones = bones_of(rig)
        move = Matrix.Translation((job["first"] + number * job["step"], 0, 0))
        move = move @ Matrix.Rotation(math.radians(job["turn"]), 4, "Z") @ centred(bones)
        if skin:
            still(skin, move, material)
        else:
            draw_bones(bones, move)
    remove(rig, skin)
    camera = light_and_camera(job)
    bpy.context.view_layer.update()
    width, height = job["pixels"]
    seen = {name: world_to_camera_view(bpy.context.scene, camera, at) for name, at in place.items()}
    report = {name: [spot.x * width, (1 - spot.y) * height] for name, spot in seen.items()}
    Path(job["report"]).write_text(json.dumps(report), encoding="utf-8")
    bpy.context.scene.render.filepath = job["picture"]
    bpy.ops.render.render(write_still=True)


def imported(path: str) -> tuple[Any, Any]:
    """The armature and the skin, None where there is none, that Blender makes of a file with default settings."""
    before = set(bpy.data.objects)
    if path.endswith(".bvh"):
        bpy.ops.import_anim.bvh(filepath=path)
    elif path.endswith(".fbx"):
        bpy.ops.import_scene.fbx(filepath=path)
    else:
        bpy.ops.import_scene.gltf(filepath=path)
    new = [thing for thing in bpy.data.objects if thing not in before]
    skins = [thing for thing in new if thing.type == "MESH" and thing.vertex_groups]
    return next(thing for thing in new if thing.type == "ARMATURE"), skins[0] if skins else None


def remove(rig: Any, skin: Any) -> None:
    """Hide what was imported; what was drawn of it stays."""
    for thing in (rig, skin):
        if thing:
            thing.hide_render = True


def bones_of(rig: Any) -> dict[str, tuple[Any, str | None]]:
    """Where every bone begins in the world, in metres, and its parent's name."""
    return {
        bone.name: (rig.matrix_world @ bone.head, bone.parent.name if bone.parent else None) for bone in rig.pose.bones
    }


def centred(bones: dict[str, tuple[Any, str | None]]) -> Any:
    """What moves a pose to the middle, onto the floor: above the first bone that has two legs."""
    counts = [parent for _, parent in bones.values()]
    middle = next(head for name, (head, _) in bones.items() if counts.count(name) > 1)
    return Matrix.Translation((-middle.x, -middle.y, 0))


def draw_bones(bones: dict[str, tuple[Any, str | None]], move: Any) -> None:
    """Octahedra from joint to joint, and balls for the joints."""
    points: list[Any] = []
    faces: list[tuple[int, ...]] = []
    for head, parent in bones.values():
        if parent is None or (head - bones[parent][0]).length < 1e-3:
            continue
        start, along = bones[parent][0], head - bones[parent][0]
        side = along.orthogonal().normalized() * min(0.022, 0.12 * along.length)
        other = along.normalized().cross(side)
        ring = [start + 0.12 * along + turn for turn in (side, other, -side, -other)]
        first = len(points)
        points += [start, *ring, head]
        for k in range(4):
            here, beside = first + 1 + k, first + 1 + (k + 1) % 4
            faces += [(first, beside, here), (first + 5, here, beside)]
    mesh = bpy.data.meshes.new("bones")
    mesh.from_pydata(points, [], faces)
    mesh.materials.append(plain("bone", BONE))
    linked("bones", mesh).matrix_world = move
    balls = bpy.data.meshes.new("joints")
    ball_points, ball_faces = ball(0.016)
    all_points, all_faces = [], []
    for head, _ in bones.values():
        all_faces += [tuple(len(all_points) + corner for corner in face) for face in ball_faces]
        all_points += [head + Vector(point) for point in ball_points]
    balls.from_pydata(all_points, [], all_faces)
    balls.materials.append(plain("joint", JOINT))
    linked("joints", balls).matrix_world = move


def ball(radius: float) -> tuple[list[tuple[float, float, float]], list[tuple[int, ...]]]:
    """The points and faces of a small sphere."""
    rows, around = 6, 10
    points = []
    for row in range(rows + 1):
        tilt = math.pi * row / rows
        for k in range(around):
            turn = 2 * math.pi * k / around
            points.append((radius * math.sin(tilt) * math.cos(turn), radius * math.sin(tilt) * math.sin(turn),
                           radius * math.cos(tilt)))  # fmt: skip
    faces: list[tuple[int, ...]] = []
    for row in range(rows):
        for k in range(around):
            a, b = row * around + k, row * around + (k + 1) % around
            faces.append((a, a + around, b + around, b))
    return points, faces


def linked(name: str, mesh: Any) -> Any:
    """A new object of the scene."""
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def still(skin: Any, move: Any, material: Any) -> Any:
    """A copy of the skin as it is posed now."""
    seen = skin.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = bpy.data.meshes.new_from_object(seen)
    mesh.materials.clear()
    mesh.materials.append(material)
    mesh.polygons.foreach_set("use_smooth", [True] * len(mesh.polygons))
    thing = linked("skin", mesh)
    thing.matrix_world = move @ skin.matrix_world
    return thing


def plain(name: str, colour: tuple[float, float, float]) -> Any:
    """A material of one colour."""
    material = bpy.data.materials.get(name) or bpy.data.materials.new(name)
    material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*colour, 1)
    shader.inputs["Roughness"].default_value = 0.6
    return material


def faded(skin: Any, alpha: float) -> Any:
    """A material of the skin's own colours that lets `1 - alpha` of the light through."""
    material = bpy.data.materials.new("faded")
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader = nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = 0.8
    shader.inputs["Alpha"].default_value = alpha
    if skin.data.color_attributes:
        colours = nodes.new("ShaderNodeVertexColor")
        colours.layer_name = skin.data.color_attributes[0].name
        links.new(colours.outputs["Color"], shader.inputs["Base Color"])
    return material


def light_and_camera(job: dict[str, Any]) -> Any:
    """A floor that only catches shadows, soft light, and a camera without perspective. Returns the camera."""
    scene = bpy.context.scene
    floor = bpy.data.meshes.new("floor")
    floor.from_pydata([(-30, -30, 0), (30, -30, 0), (30, 30, 0), (-30, 30, 0)], [], [(0, 1, 2, 3)])
    floor.materials.append(plain("floor", GREY))
    linked("floor", floor).is_shadow_catcher = True
    world = bpy.data.worlds.new("world")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs[0].default_value = (1, 1, 1, 1)
    world.node_tree.nodes["Background"].inputs[1].default_value = 0.75
    scene.world = world
    sun = bpy.data.lights.new("sun", "SUN")
    sun.energy, sun.angle = 2.2, 0.25
    lamp = bpy.data.objects.new("sun", sun)
    lamp.rotation_euler = (math.radians(38), math.radians(-22), 0)
    scene.collection.objects.link(lamp)
    view = bpy.data.cameras.new("camera")
    view.type, view.ortho_scale = "ORTHO", job["wide"]
    camera = bpy.data.objects.new("camera", view)
    tilt = math.radians(8)
    middle = Vector((job["middle"], 0, job["centre"]))
    camera.location = middle + Vector((0, -20 * math.cos(tilt), 20 * math.sin(tilt)))
    camera.rotation_euler = (math.pi / 2 - tilt, 0, 0)
    scene.collection.objects.link(camera)
    scene.camera = camera
    render = scene.render
    render.engine, scene.cycles.device, scene.cycles.samples = "CYCLES", "CPU", job["samples"]
    scene.cycles.seed, scene.cycles.transparent_max_bounces, scene.cycles.use_denoising = 0, 24, False
    scene.cycles.max_bounces = 2
    scene.view_settings.view_transform = "Standard"
    render.film_transparent = True
    render.resolution_x, render.resolution_y = job["pixels"]
    render.resolution_percentage = 100
    render.image_settings.file_format = "PNG"
    return camera


main(json.loads(Path(sys.argv[-1]).read_text(encoding="utf-8")))
