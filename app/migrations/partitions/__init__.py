"""Partitions of a table in ranges of time: conversion, upkeep, retention."""
